"""The page's style sheet: light and dark by the reader's setting, one column on a phone."""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5c6670; --line: #d9dee3; --ground: #ffffff;
  --box: #f5f7f9; --accent: #2159c9; --good: #0b6e3c; --warn: #8a4b00; --warnbox: #fff4e0;
  --c0: #2159c9; --c1: #c2410c; --c2: #0b7a53; --c3: #7c3aed; --c4: #a16207; --c5: #be185d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa4ae; --line: #363d45; --ground: #14181c;
  --box: #1d2328; --accent: #84aefc; --good: #63d297; --warn: #ffc46b; --warnbox: #33260f;
  --c0: #84aefc; --c1: #ff9a62; --c2: #5fd0a4; --c3: #c0a2ff; --c4: #e3c25a; --c5: #ff8fc0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .6rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .4rem; padding-top: .6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .2rem; }
p { margin: .3rem 0 .8rem; max-width: 46rem; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .9rem; margin: .8rem 0; }
nav a { color: var(--accent); }
.warning { background: var(--warnbox); color: var(--warn); padding: .6rem .9rem; border-radius: .5rem; }
.headlines { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .8rem; margin: 1.2rem 0; }
.headline { background: var(--box); border-radius: .6rem; padding: .8rem 1rem; }
.headline b { display: block; font-size: 1.7rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; margin: .4rem 0 1rem; min-width: 60%; }
th, td { text-align: right; padding: .3rem .7rem; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; }
.words { text-align: left; white-space: normal; min-width: 10rem; }
td.part { padding-left: 1.2rem !important; color: var(--soft); }
td.best { color: var(--good); font-weight: 700; }
.sample { display: grid; grid-template-columns: 2fr 1fr 1fr; gap: 1rem; background: var(--box);
  border-radius: .6rem; padding: .8rem 1rem; margin: .7rem 0; }
.sample h4 { margin: 0 0 .3rem; font-size: .78rem; font-weight: 600; color: var(--soft); text-transform: uppercase;
  letter-spacing: .04em; }
.sample .note { grid-column: 1 / -1; }
.sample pre.note { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; font-size: .82rem; color: var(--soft); }
.turn { margin-bottom: .4rem; overflow-wrap: anywhere; white-space: pre-wrap; }
.exchange { display: flex; flex-wrap: wrap; column-gap: 1.5rem; align-items: center; }
.who { color: var(--soft); font-size: .82rem; }
.media { display: inline-block; vertical-align: middle; margin: .15rem .25rem; max-width: 100%; }
.media * { max-width: 100%; }
.media img { border-radius: .3rem; }
.prompt .media > img { width: 64px; height: auto; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 1rem; }
figure h3 { margin: 0; }
figure { margin: 0; background: var(--box); border-radius: .6rem; padding: .7rem .8rem; }
figure svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .raw { fill: none; stroke-width: 1; opacity: .3; }
svg .smooth { fill: none; stroke-width: 2; stroke-linejoin: round; }
.legend span { margin-right: 1rem; white-space: nowrap; }
.legend i { display: inline-block; width: 1.2em; height: .25em; vertical-align: middle; margin-right: .4em;
  border-radius: 2px; }
details pre { overflow-x: auto; background: var(--box); padding: .8rem; border-radius: .5rem; font-size: .82rem; }
summary { cursor: pointer; color: var(--accent); }
@media (max-width: 40rem) { .sample { grid-template-columns: 1fr 1fr; } .sample .prompt { grid-column: 1 / -1; }
  th, td { padding: .3rem .45rem; } }
"""
