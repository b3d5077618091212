"""Plain tables on stdout."""

from collections.abc import Collection, Sequence


def columns(rows: Sequence[Sequence[str]], *, numbers: Collection[int] = ()) -> str:
    """Return rows as aligned columns, two spaces apart.

    Args:
        rows: equally long; the first may be the heads.
        numbers: places of the columns that are flush right.
    """
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.rjust(width) if place in numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
    return "\n".join(lines)
