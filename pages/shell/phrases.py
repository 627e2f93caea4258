"""Numbers and times as people say them, the same everywhere in the app."""

import time


def seconds(value: float | None) -> str:
    """A duration: "0.4 s", "12 s", "3 min 20 s", "2 h 5 min"; "–" where it is not known."""
    if value is None:
        return "–"
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(value: float | None) -> str:
    """Bytes in decimal units: "540 MB", "1.4 GB"; "–" where not known."""
    if value is None:
        return "–"
    for unit, each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= each:
            return f"{value / each:.1f} {unit}" if value < 10 * each else f"{value / each:.0f} {unit}"
    return f"{value:.0f} B"


def count(value: float) -> str:
    """A large number: "134.5 M", "6.74 B", "1,536"."""
    for unit, each in (("B", 1e9), ("M", 1e6)):
        if value >= each:
            return f"{value / each:.{1 if value >= 100 * each else 2}f} {unit}"
    return f"{value:,.0f}"


def percent(share: float) -> str:
    """A share from 0 to 1 as whole percent; 100 % only when it is."""
    return f"{int(100 * share)} %"


def place(ahead: int) -> str:
    """Where something stands in a line, by how many are ahead of it."""
    return {0: "next in line", 1: "1 job ahead"}.get(ahead, f"{ahead} jobs ahead")


def ago(when: float, now: float | None = None) -> str:
    """How long ago a time was: "just now", "5 min ago", "3 h ago", then the date."""
    passed = (time.time() if now is None else now) - when
    if passed < 60:
        return "just now"
    if passed < 3600:
        return f"{int(passed // 60)} min ago"
    if passed < 86_400:
        return f"{int(passed // 3600)} h ago"
    return time.strftime("%d %b %Y", time.localtime(when))
