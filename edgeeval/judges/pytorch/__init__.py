"""What runs in the converter's environment, with PyTorch."""
