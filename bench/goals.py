"""The goals of docs/performance.md, each with its figure. Ratios are taken inside one cell."""

from report import highest, middle, number, of, quotient

OURS = {"npm": "gateway-npm", "pypi": "gateway-pypi"}
# Answers that turn an upload away cleanly.
CLEAN = {"413", "429", "503"}


def judged(results):
    """(goal, figure, met) of each; a figure that was not measured is empty and its goal neither met nor missed."""
    yield from intake(results)
    yield from small(results)
    yield from processor(results)
    yield from memory(results)
    yield from beside(results)
    yield from never_down(results)
    yield from durable(results)


def intake(results):
    for goal, proto, size, concurrency, other, least in [
        ("G1", "npm", "20mb", 8, "limit-npm", 0.80),
        ("G1", "npm", "20mb", 1, "limit-npm", 0.80),
        ("G1", "npm", "20mb", 8, "verdaccio", 3.5),
        ("G1", "npm", "20mb", 1, "verdaccio", 2.5),
        ("G2", "pypi", "20mb", 8, "limit-pypi", 0.80),
        ("G2", "pypi", "20mb", 1, "limit-pypi", 0.80),
        ("G2", "pypi", "20mb", 8, "pypiserver", 5.0),
        ("G2", "pypi", "20mb", 1, "pypiserver", 2.4),
        ("G2", "pypi", "20mb", 8, "devpi", 5.0),
        ("G2", "pypi", "20mb", 1, "devpi", 2.1),
        ("G3", "npm", "1mb", 8, "limit-npm", 0.60),
        ("G3", "npm", "1mb", 8, "verdaccio", 4.0),
        ("G3", "pypi", "1mb", 8, "limit-pypi", 0.60),
        ("G3", "pypi", "1mb", 8, "pypiserver", 6.0),
    ]:
        figure = ratio(results, proto, size, concurrency, "mb_per_second", other)
        yield at_least(f"{goal} {proto} {size} ×{concurrency}: MB/s ÷ {other}", figure, least)
        if other == f"limit-{proto}":
            # Not the goal, but what is left of it for whoever reads the archive, as we must.
            figure = ratio(results, proto, size, concurrency, "mb_per_second", f"{other}-unpack")
            yield at_least(f"{goal} {proto} {size} ×{concurrency}: MB/s ÷ {other}-unpack", figure, least)


def small(results):
    for proto, other, least in [("npm", "limit-npm", 0.4), ("npm", "verdaccio", 4.0), ("npm", "verdaccio-accounts", 40),
                                ("pypi", "pypiserver", 5.0)]:
        figure = ratio(results, proto, "10kb", 8, "requests_per_second", other)
        yield at_least(f"G4 {proto} 10kb ×8: requests/s ÷ {other}", figure, least)
    yield at_most("G4 npm 10kb ×8: p99 ÷ verdaccio's", ratio(results, "npm", "10kb", 8, "p99_ms", "verdaccio"), 0.3)


def processor(results):
    for proto, other, most in [("npm", "limit-npm", 1.5), ("npm", "limit-npm-unpack", 1.5), ("npm", "verdaccio", 0.45),
                               ("pypi", "limit-pypi", 1.5), ("pypi", "limit-pypi-unpack", 1.5),
                               ("pypi", "pypiserver", 0.4)]:
        for size in ("1mb", "20mb", "100mb"):
            figure = ratio(results, proto, size, 8, "cpu_ms_per_mb", other)
            yield at_most(f"G5 {proto} {size} ×8: CPU per MB ÷ {other}", figure, most)


def memory(results):
    ours = [result for name in OURS.values() for result in of(results, what="cell", target=name)]
    few = [result for result in ours if result["concurrency"] <= 8]
    many = [result for result in ours if result["concurrency"] > 8]
    yield at_most("G6 peak RSS, up to 8 at once, MB", highest(few, "peak_rss_mb"), 48)
    yield at_most("G6 peak RSS, 32 at once, MB", highest(many, "peak_rss_mb"), 64)
    yield at_most("G6 peak RSS of a 300 MB npm publish, MB",
                  highest(of(few, size="300mb", proto="npm"), "peak_rss_mb"), 48)
    for proto, name in OURS.items():
        one = [result for result in few if result["target"] == name and result["concurrency"] == 1]
        large = highest([result for result in one if result["size"] in ("100mb", "300mb")], "peak_rss_mb")
        usual = highest(of(one, size="1mb"), "peak_rss_mb")
        growth = None if large is None or usual is None else large - usual
        yield at_most(f"G6 {proto} growth of peak RSS from 1 MB to the largest upload, MB", growth, 4)


def beside(results):
    for proto, name in OURS.items():
        own = of(results, what="mixed", target=name)
        alone, loaded = small_p99(own, "alone"), small_p99(own, "beside")
        yield at_most(f"G7 {proto}: p99 of 10 KB beside 4×100 MB ÷ alone", quotient(loaded, alone), 10)
        if proto == "npm":
            peer = small_p99(of(results, what="mixed", target="verdaccio"), "beside")
            yield at_most("G7 npm: p99 of 10 KB beside 4×100 MB ÷ verdaccio's", quotient(loaded, peer), 0.05)


def small_p99(results, part):
    return middle([result[part] for result in results if part in result], "p99_ms")


def never_down(results):
    for name in OURS.values():
        for size, concurrency in (("100mb", 32), ("500mb", 8)):
            own = of(results, what="cell", target=name, size=size, concurrency=concurrency)
            counts = [(status, count) for result in own for status, count in result.get("statuses", {}).items()]
            unclean = sum(count for status, count in counts if not status.startswith("2") and status not in CLEAN)
            failed = unclean + sum(bool(result.get("error") or result.get("died")) for result in own)
            yield at_most(f"G8 {name} {size} ×{concurrency}: neither 2xx nor 413, 429, 503", failed if own else None, 0)
        own = of(results, what="over", target=name)
        for kind in ("declared", "streamed"):
            wrong = sum(result.get(kind, {}).get("status") != 413 or result["died"] for result in own)
            yield at_most(f"G8 {name}, {kind} length over the limit: not answered 413", wrong if own else None, 0)


def durable(results):
    for name in OURS.values():
        own = of(results, what="kill", target=name)
        for key, words in (("missing", "answered with success and missing"),
                           ("listed_without_bytes", "listed without their bytes")):
            yield at_most(f"G9 {name}, {sum(result.get('kills', 0) for result in own)} kills: {words}",
                          highest(own, key), 0)
        cells = of(results, what="cell", target=name)
        yield at_most(f"G9 {name}: sync after a cell, median s", middle(cells, "sync_after_seconds"), 0.1)


def ratio(results, proto, size, concurrency, key, other):
    """Ours divided by another target's, in one cell."""
    here = of(results, what="cell", proto=proto, size=size, concurrency=concurrency)
    return quotient(middle(of(here, target=OURS[proto]), key), middle(of(here, target=other), key))


def at_least(goal, figure, least):
    return f"{goal} ≥ {least:g}", number(figure, 2), None if figure is None else figure >= least


def at_most(goal, figure, most):
    return f"{goal} ≤ {most:g}", number(figure, 2), None if figure is None else figure <= most
