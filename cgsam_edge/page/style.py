"""The style of every page and plot, for light and dark mode and for any width; colours a to d are Okabe and Ito's."""

COLOURS = ("a", "b", "c", "d", "e", "f", "g", "h")
"""Names of the colours of the parts of a plot, in the order in which they are assigned."""

VARIABLES = """
:root { color-scheme: light dark; --page: #f5f6f8; --card: #fff; --ink: #1b1f24; --quiet: #5b6570; --line: #dde1e6;
  --track: #e9ecf0; --good: #00699f; --bad: #b84a00; --warned: #8a6100; --idle: #68727d; --good-soft: #e3f1f9;
  --bad-soft: #fdeadd; --warned-soft: #fdf3d6; --idle-soft: #eceff2; --a: #0072b2; --b: #e69f00; --c: #009e73;
  --d: #cc79a7; --e: #6a51a3; --f: #8c5a2b; --g: #4b5661; --h: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --card: #1d2127; --ink: #e8eaed; --quiet: #a0a9b4;
  --line: #353b44; --track: #2c323a; --good: #6cbdec; --bad: #ff9a5c; --warned: #f0c24b; --idle: #a0a9b4;
  --good-soft: #15303f; --bad-soft: #41260f; --warned-soft: #3b300f; --idle-soft: #2a3038; --a: #56b4e9; --b: #e69f00;
  --c: #2fc39b; --d: #d99abd; --e: #b3a2e8; --f: #c99a63; --g: #aab4bf; --h: #ff8a47; } }
"""

_SHADES = "\n".join(
    f".fill-{name} {{ fill: var(--{name}); background: var(--{name}); }} .stroke-{name} {{ stroke: var(--{name}); }}"
    for name in (*COLOURS, "bad")
)

PLOTS = (
    """
.plot text { font-size: 12px; fill: var(--ink); font-variant-numeric: tabular-nums; }
.plot .end { text-anchor: end; } .plot .middle { text-anchor: middle; }
.plot .quiet { fill: var(--quiet); font-size: 11px; } .plot .strong { font-weight: 650; }
.track { fill: var(--track); } .grid-line { stroke: var(--line); }
.limit { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 5 3; }
.mean { stroke: var(--ink); stroke-width: 1.5; }
.line { fill: none; stroke-width: 1.5; opacity: 0.7; }
.dots { fill: none; stroke-width: 5; stroke-linecap: round; opacity: 0.8; }
"""
    + _SHADES
)

_PAGE = """* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; -webkit-text-size-adjust: 100%; overflow-wrap: anywhere; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 40px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 34px 0 4px; }
h3 { font-size: 15px; margin: 0 0 8px; }
p { margin: 0 0 10px; }
ul { margin: 0; padding-left: 20px; }
.quiet, figcaption, .lead { color: var(--quiet); }
.lead { max-width: 75ch; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; }
.grid { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 310px), 1fr)); }
.plots { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr));
  align-items: start; }
.scroll + .plots { margin-top: 16px; }
.pair { display: grid; gap: 20px 40px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); }
.pair + .pair, h3 + .figures + h3 { margin-top: 16px; }
.summary { font-size: 17px; font-weight: 600; margin: 14px 0 18px; }
.verdict { border-top: 5px solid var(--tone); }
.verdict header { display: flex; justify-content: space-between; align-items: center; gap: 10px; }
.verdict h3 { font-size: 17px; margin: 0; }
.badge { flex: none; background: var(--soft); color: var(--tone); font-weight: 650; font-size: 14px; padding: 3px 11px;
  border-radius: 999px; white-space: nowrap; }
.good { --tone: var(--good); --soft: var(--good-soft); } .bad { --tone: var(--bad); --soft: var(--bad-soft); }
.warned { --tone: var(--warned); --soft: var(--warned-soft); } .idle { --tone: var(--idle); --soft: var(--idle-soft); }
.verdict > p { margin: 10px 0 0; }
.verdict .big { font-size: 34px; font-weight: 650; line-height: 1.1; margin: 14px 0 0;
  font-variant-numeric: tabular-nums; }
.problems { margin: 12px 0 0; padding: 9px 12px; border-radius: 7px; background: var(--soft); color: var(--tone);
  font-weight: 550; list-style: none; }
dl { max-width: 440px; margin: 12px 0 0; display: grid;
  grid-template-columns: auto 1fr; gap: 3px 14px; font-size: 14px; }
dt { color: var(--quiet); } dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 12px; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: normal; }
th { font-weight: 600; } thead th { color: var(--quiet); font-size: 13px; white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; }
tbody:last-child tr:last-child > * { border-bottom: 0; }
tr.sum td { font-weight: 600; } tr.target th { background: var(--idle-soft); padding: 5px 12px; }
td small { color: var(--quiet); display: block; font-size: 12px; }
td.layer { font-family: ui-monospace, Menlo, Consolas,
  monospace; font-size: 13px; overflow-wrap: anywhere; min-width: 180px; } td.reason { min-width: 220px; }
.figures { display: grid; gap: 16px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); }
figure { margin: 0; padding: 12px 14px; } .tiles { display: grid; grid-template-columns: repeat(3, 1fr); gap: 6px; }
.tiles img { width: 100%; height: auto; border-radius: 5px; display: block; }
figcaption { font-size: 13px; margin-bottom: 8px; } figcaption b { color: var(--ink); }
.verdict .flips { margin: 8px 0 0; } .flips, .flips-list { font-size: 13px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 12px; font-size: 13px; color: var(--quiet); }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 6px; }
summary { cursor: pointer; padding: 9px 12px; color: var(--quiet); }
.plot { width: 100%; max-width: 480px; height: auto; display: block; overflow: visible; }
footer { margin-top: 34px; color: var(--quiet); font-size: 13px; }
@media (max-width: 520px) { main { padding: 18px 12px 30px; } h1 { font-size: 22px; } .card { padding: 13px; }
  .tiles { gap: 4px; } th, td { padding: 7px 9px; } }
@media print { body { background: #fff; } .card, .scroll { break-inside: avoid; } }
"""

CSS = VARIABLES + _PAGE + PLOTS
"""Style of a complete page."""
