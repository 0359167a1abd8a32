"""Prints results: a line for each as it comes, tables and goals at the end."""

import statistics
import sys

from servers import targets

SIZES = ["10kb", "1mb", "20mb", "100mb", "300mb", "500mb"]


def show(result):
    """One line about one result."""
    where = f"{result.get('size', '')} ×{result['concurrency']}" if "size" in result else result["what"]
    print(f"{result['target']:20} {where:>10} ", error_or_figures(result), file=sys.stderr)


def error_or_figures(result):
    if "error" in result:
        return result["error"]
    if result["what"] == "cell":
        return (f"{result['mb_per_second']:8.1f} MB/s {result['requests_per_second']:8.1f} requests/s "
                f"p99 {result['p99_ms']:8.1f} ms  CPU {result['cpu_ms_per_mb'] or 0:6.2f} ms/MB "
                f"RSS {result['peak_rss_mb']:6.1f} MB  {result['statuses']} {' '.join(result['quotes'][:1])}")
    if result["what"] == "mixed":
        return (f"alone p99 {result['alone']['p99_ms']:.1f} ms, beside p99 {result['beside']['p99_ms']:.1f} ms, "
                f"big {result['big']['mb_per_second']:.1f} MB/s  RSS {result['peak_rss_mb']:.1f} MB")
    kept = {"declared", "streamed", "peak_rss_mb", "kills", "answered", "missing", "listed", "listed_without_bytes"}
    return {key: value for key, value in result.items() if key in kept}


def tables(results):
    """Everything that was measured, then the goals."""
    for proto in ("npm", "pypi"):
        cells(proto, of(results, what="cell", proto=proto))
    mixed_table(of(results, what="mixed"))
    over_table(of(results, what="over"))
    kill_table(of(results, what="kill"))
    # Imported late, because goals are judged with the functions of this file.
    import goals

    heading("Goals", ["goal", "figure", "met"])
    for goal, figure, met in goals.judged(results):
        if met is not None:
            line([goal, figure, "yes" if met else "**no**"])


def of(results, **where):
    return [result for result in results if all(result.get(key) == value for key, value in where.items())]


def base(proto, kind):
    """The target of a protocol that is its `limit` or its `peer`."""
    return next(name for name, target in targets().items() if target["proto"] == proto and target.get(kind))


def cells(proto, results):
    if not results:
        return
    peer, limit = base(proto, "peer"), base(proto, "limit")
    heading(proto, ["size", "at once", "target", "ok", "not ok", "requests/s", "MB/s", f"÷ {peer}", f"÷ {limit}",
                    "p50 ms", "p99 ms", "CPU ms/MB", "peak RSS MB", "sync after s"])
    places = {(result["size"], result["concurrency"]) for result in results}
    for size, concurrency in sorted(places, key=lambda place: (SIZES.index(place[0]), place[1])):
        here = of(results, size=size, concurrency=concurrency)
        for name in [name for name in targets() if of(here, target=name)]:
            cell_row(size, concurrency, name, here, peer, limit)


def cell_row(size, concurrency, name, here, peer, limit):
    own = of(here, target=name)
    speed = middle(own, "mb_per_second")
    ratios = [quotient(speed, middle(of(here, target=other), "mb_per_second")) for other in (peer, limit)]
    line([size, concurrency, name, sum(result.get("ok", 0) for result in own), trouble(own),
          number(middle(own, "requests_per_second")), number(speed), *[number(ratio, 2) for ratio in ratios],
          number(middle(own, "p50_ms")), number(middle(own, "p99_ms")), number(middle(own, "cpu_ms_per_mb"), 2),
          number(highest(own, "peak_rss_mb"), 0), number(middle(own, "sync_after_seconds"), 2)])


def mixed_table(results):
    if not results:
        return
    heading("10 KB uploads (4 at once), alone and beside four uploads of 100 MB",
            ["target", "alone requests/s", "p50 ms", "p99 ms", "beside requests/s", "p50 ms", "p99 ms",
             "p99 beside ÷ alone", "big MB/s", "peak RSS MB", "not ok"])
    for name in [name for name in targets() if of(results, target=name)]:
        own = of(results, target=name)
        parts = {part: [result[part] for result in own if part in result] for part in ("alone", "beside", "big")}
        small = [number(middle(parts[part], key)) for part in ("alone", "beside")
                 for key in ("requests_per_second", "p50_ms", "p99_ms")]
        ratio = quotient(middle(parts["beside"], "p99_ms"), middle(parts["alone"], "p99_ms"))
        line([name, *small, number(ratio), number(middle(parts["big"], "mb_per_second")),
              number(highest(own, "peak_rss_mb"), 0), trouble(own + parts["beside"] + parts["big"])])


def over_table(results):
    if not results:
        return
    heading("Bodies over the limit", ["target", "length", "answer", "sent MB", "ms", "peak RSS MB", "died"])
    for result in results:
        for kind in ("declared", "streamed"):
            tried = result.get(kind, {})
            line([result["target"], kind, tried.get("status") or result.get("error", "none"),
                  number(tried.get("sent_mb"), 0), number(tried.get("milliseconds"), 0),
                  number(result.get("peak_rss_mb"), 0), "yes" if result.get("died") else "no"])


def kill_table(results):
    if not results:
        return
    heading("kill -9 while 8 uploads of 1 MB run",
            ["target", "kills", "answered with success", "of these missing", "listed", "listed without their bytes"])
    for result in results:
        line([result["target"], *[result.get(key, result.get("error")) for key in
                                  ("kills", "answered", "missing", "listed", "listed_without_bytes")]])


def heading(title, columns):
    print(f"\n### {title}\n")
    line(columns)
    print("|" + "---|" * len(columns))


def line(values):
    print("| " + " | ".join(map(str, values)) + " |")


def trouble(results):
    """Everything but success, counted."""
    counts = {}
    for result in results:
        for status, count in result.get("statuses", {}).items():
            if not status.startswith("2"):
                counts[status] = counts.get(status, 0) + count
        for word in ("ended_for_memory", "died", "error"):
            if result.get(word):
                counts[word] = counts.get(word, 0) + 1
    return " ".join(f"{word}×{count}" for word, count in counts.items())


def middle(results, key):
    """The median over rounds; a round without a success has no figure."""
    values = [result[key] for result in results if isinstance(result.get(key), (int, float)) and result.get("ok")]
    return statistics.median(values) if values else None


def highest(results, key):
    return max((result[key] for result in results if key in result), default=None)


def quotient(value, base):
    return value / base if value and base else None


def number(value, digits=1):
    return "" if value is None else f"{value:.{digits}f}"
