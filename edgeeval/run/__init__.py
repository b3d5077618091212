"""Run one artifact on one prompt set, in worker processes that may die.

plan.py      prompt set + tokenizer -> blocks of token ids (once, for the reference)
engine.py    blocks -> windows, options, generated texts
numerics.py  log-probabilities, divergence, coupled sampling: pure numpy
cost.py      speed and memory as deployed, in a pass of its own
clock.py     where the time went
device.py    which device and how many threads; the engine's fingerprint
schedule.py  what is not in a journal yet -> jobs, the reference first
template.py  messages -> text, in the model's own chat template, sandboxed
worker.py    the process boundary: a job file in, JSON events out
"""
