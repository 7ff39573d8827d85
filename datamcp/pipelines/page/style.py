"""How a page of a run looks, in light and dark and on paper, and its one small script. Pure."""

_LIGHT = {
    "bg": "#f4f5f7",
    "card": "#fff",
    "ink": "#1a2230",
    "soft": "#5a6575",
    "line": "#dde1e7",
    "faint": "#f0f2f5",
    "link": "#1f5fc4",
}
_DARK = {
    "bg": "#0e1218",
    "card": "#171d26",
    "ink": "#e6eaf0",
    "soft": "#98a4b5",
    "line": "#2b3441",
    "faint": "#1d2530",
    "link": "#82b1ff",
}

_STATES = {
    "succeeded": ("#18794e", "#4cc38a"),
    "running": ("#1d63d2", "#6ea8ff"),
    "retrying": ("#9a5b00", "#f2b14c"),
    "queued": ("#2b7387", "#69bdd3"),
    "scheduled": ("#667080", "#95a1b2"),
    "failed": ("#c42b38", "#ff7d84"),
    "timed_out": ("#b1440c", "#ff9e68"),
    "cancelled": ("#7a45b3", "#c59df5"),
    "skipped": ("#6d7685", "#939eae"),
    "upstream_failed": ("#98495a", "#e29aa9"),
    "paused": ("#806600", "#dcc14d"),
    "other": ("#667080", "#95a1b2"),
}
"""The colour of each state: on light, and on dark."""


def _variables(theme: int) -> str:
    plain = _DARK if theme else _LIGHT
    colours = {f"c-{state}": pair[theme] for state, pair in _STATES.items()}
    return "".join(f"--{name}:{colour};" for name, colour in {**plain, **colours}.items())


_COLOURS = "".join(f".s-{state}{{--c:var(--c-{state})}}" for state in _STATES)

_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth;scroll-padding-top:12px}
body{margin:0;background:var(--bg);color:var(--ink);
font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1240px;margin:0 auto;padding:20px 16px 40px}
header,section{background:var(--card);border:1px solid var(--line);border-radius:12px;
padding:18px 20px;margin:0 0 16px;min-width:0}
header{border-top:4px solid var(--c)}
h1{font-size:24px;line-height:1.25;margin:0;display:flex;flex-wrap:wrap;gap:4px 12px;
align-items:center;overflow-wrap:anywhere}
h2{font-size:15px;margin:0 0 12px;letter-spacing:.01em}
p{margin:0}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;
font-size:12.5px}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
a{color:var(--link);text-decoration:none}
a:hover{text-decoration:underline}
a:focus-visible,.scroll:focus-visible,summary:focus-visible,input:focus-visible{
outline:2px solid var(--link);outline-offset:2px;border-radius:6px}
.symbols{position:absolute;width:0;height:0;overflow:hidden}
symbol path,.i path{fill:none;stroke:currentColor;stroke-width:2;stroke-linecap:round;
stroke-linejoin:round}
.i{width:13px;height:13px;flex:none;color:var(--c);vertical-align:-2px}
.note{color:var(--soft);font-size:12.5px}
.note+.scroll,.note+.gantt{margin-top:10px}
.scroll+.note{margin-top:10px}
.badge{display:inline-flex;align-items:center;gap:5px;padding:1px 9px 1px 7px;border-radius:99px;
font-size:12.5px;font-weight:600;white-space:nowrap;color:var(--c);
background:color-mix(in srgb,var(--c) 12%,transparent)}
h1 .badge{font-size:14px;padding:2px 12px 2px 10px}
.top{display:flex;flex-wrap:wrap;gap:12px 24px;justify-content:space-between}
.what{flex:1 1 380px;min-width:0;overflow-wrap:anywhere}
.what p{color:var(--soft);margin-top:4px;max-width:75ch}
.what .called{color:var(--ink)}
.figure{text-align:right;color:var(--soft);font-size:12.5px}
.figure b{display:block;font-size:24px;line-height:1.25;color:var(--ink);font-weight:650;
font-variant-numeric:tabular-nums}
.states{margin:16px 0 0}
.share{display:block;width:100%;height:10px;border-radius:5px;background:var(--faint)}
.share rect{fill:var(--c);stroke:var(--card);stroke-width:1}
.chips{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;margin:8px 0 0;padding:0;
font-size:13px}
.chips li{display:flex;align-items:center;gap:6px}
.error{margin:14px 0 0;padding:10px 14px;border-radius:8px;border-left:4px solid var(--c-failed);
background:color-mix(in srgb,var(--c-failed) 9%,transparent);overflow-wrap:anywhere}
.error b{font-size:12.5px;color:var(--c-failed)}
.fields{display:grid;grid-template-columns:repeat(auto-fill,minmax(178px,1fr));gap:10px 20px;
margin:16px 0 0}
.fields div{min-width:0}
dt{color:var(--soft);font-size:12px}
dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.fields div:first-child{grid-column:span 2}
header h2{margin:18px 0 -8px;font-size:13px}
.parameters{grid-template-columns:repeat(auto-fill,minmax(260px,1fr))}
.parameters div:first-child{grid-column:auto}
section>.parameters{margin:0}
.scroll{overflow:auto;-webkit-overflow-scrolling:touch}
.dag{display:block;margin:0 auto}
.fit .dag{max-width:100%;height:auto}
.dag a:hover{text-decoration:none}
.dag .box{fill:color-mix(in srgb,var(--c) 7%,var(--card));
stroke:color-mix(in srgb,var(--c) 45%,var(--line));stroke-width:1.2}
.dag .back{fill:var(--card);stroke:color-mix(in srgb,var(--c) 45%,var(--line))}
.dag .stripe{fill:var(--c)}
.dag use{color:var(--c)}
.dag .name{fill:var(--ink);font-size:13px;font-weight:550}
.dag .more{fill:var(--soft);font-size:11.5px}
.dag .again{text-anchor:end;fill:var(--c-retrying);font-weight:600}
.dag .critical .name{font-weight:750}
.dag .s-skipped .box,.dag .s-upstream_failed .box,.dag .s-scheduled .box,
.dag .s-other .box{stroke-dasharray:4 3}
.dag .s-running .box,.dag .s-failed .box,.dag .s-timed_out .box{stroke:var(--c);stroke-width:1.8}
.dag a:hover .box,.dag a:focus-visible .box{stroke:var(--ink);stroke-width:2}
.dag a:focus{outline:none}
.edge{fill:none;stroke:color-mix(in srgb,var(--soft) 55%,transparent);stroke-width:1.4}
.edge.order{stroke-dasharray:3 4}
.edge.critical{stroke:var(--ink);stroke-width:2.2}
.tip{fill:var(--soft)}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin-top:12px;color:var(--soft);font-size:12.5px}
.legend span{display:inline-flex;align-items:center;gap:7px}
.k{display:inline-block;width:26px;height:11px;border-radius:3px}
.k.wait{height:3px;background:color-mix(in srgb,var(--soft) 60%,transparent)}
.k.run{background:var(--c-succeeded)}
.k.past{background:color-mix(in srgb,var(--c-retrying) 38%,transparent);
border-right:3px solid var(--c-failed)}
.k.crit{background:color-mix(in srgb,var(--c-succeeded) 85%,transparent);
border:2px solid var(--ink)}
.gantt{display:grid;grid-template-columns:minmax(96px,220px) minmax(0,1fr);gap:0 10px}
.labels{list-style:none;margin:0;padding:0;min-width:0}
.labels li{height:22px;line-height:22px;border-radius:4px 0 0 4px}
.labels .head{height:24px}
.labels .load{height:72px;padding-top:34px;color:var(--soft);font-size:12.5px}
.labels a{display:flex;align-items:center;gap:7px;color:var(--ink);font-size:12.5px;padding-left:2px}
.labels a span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap;min-width:0}
.labels span+.tail{margin-left:-7px;flex:none}
.labels .inner a{padding-left:16px}
.labels .critical a{font-weight:700}
.labels li:nth-child(even){background:var(--faint)}
.chart{display:block;overflow:visible;font-size:11.5px}
.chart text{paint-order:stroke;stroke:var(--card);stroke-width:3px;stroke-linejoin:round;fill:var(--soft);font-variant-numeric:tabular-nums}
.chart .stripe{fill:var(--faint)}
.tick line{stroke:var(--line)}
.now{stroke:var(--c-running);stroke-width:1.4;stroke-dasharray:4 3}
.joint{stroke:var(--ink);stroke-width:1;opacity:.55}
.wait{fill:color-mix(in srgb,var(--soft) 50%,transparent)}
.bar{fill:var(--c)}
.row{overflow:visible}
.row:hover .bar{filter:brightness(1.12)}
.critical .bar.run{stroke:var(--ink);stroke-width:1.8}
.bar.past{--c:var(--c-retrying);fill:color-mix(in srgb,var(--c) 34%,transparent)}
.bar.o-snoozed,.bar.o-other{--c:var(--c-scheduled)}
.cap{stroke:var(--c-failed);stroke-width:2.5}
.cap.o-snoozed,.cap.o-other{stroke:var(--c-scheduled)}
.cap.o-lost{stroke:var(--c-timed_out);stroke-dasharray:3 2}
.chart .over{stroke:none;fill:var(--card);font-weight:600}
.dot{fill:var(--card);stroke:var(--c);stroke-width:1.8}
.chart .never{font-style:italic}
.at-once polygon{fill:color-mix(in srgb,var(--c-running) 35%,transparent)}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{text-align:left;vertical-align:top;padding:6px 10px;border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--soft);font-weight:500;font-size:12px;white-space:nowrap}
tbody th{font-weight:550;overflow-wrap:anywhere;min-width:150px}
.id{margin-right:8px}
tbody .name small{display:inline-block;color:var(--soft);font-weight:400;
font-size:12px}
.inner .name{padding-left:28px}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.state,.worker{white-space:nowrap}
.worker{color:var(--soft)}
.why{min-width:180px;overflow-wrap:anywhere}
td.why,td.why a{color:var(--c-failed)}
tbody tr:hover{background:var(--faint)}
tr:target,article:target{background:color-mix(in srgb,var(--link) 14%,transparent)}
tr:target th{box-shadow:inset 3px 0 var(--link)}
small{color:var(--soft)}
.filter{display:block;margin:0 0 10px;color:var(--soft);font-size:12.5px}
[hidden]{display:none!important}
input{font:inherit;color:inherit;background:var(--bg);border:1px solid var(--line);
border-radius:7px;padding:5px 10px;width:min(340px,70%)}
article{border-left:4px solid var(--c);padding:4px 0 6px 14px;margin:0 0 14px;border-radius:2px}
article:last-child{margin-bottom:0}
article pre{max-height:340px;overflow:auto}
article p{overflow-wrap:anywhere;margin-bottom:4px}
article a{font-weight:600}
article code{color:var(--c)}
ul{margin:0;padding-left:18px;overflow-wrap:anywhere}
details{border-top:1px solid var(--line);padding:7px 0}
summary{cursor:pointer;font-weight:550;overflow-wrap:anywhere}
summary small{margin-left:10px;font-weight:400}
details pre{margin:8px 0 2px;padding:10px 12px;background:var(--faint);border-radius:8px;
max-height:480px;overflow:auto}
footer{color:var(--soft);font-size:12.5px;text-align:center;margin-top:20px}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
@media (max-width:640px){
main{padding:8px 8px 24px}
header,section{padding:14px 12px;border-radius:10px;margin-bottom:10px}
h1{font-size:20px}
.figure{text-align:left}
.fields{grid-template-columns:repeat(2,minmax(0,1fr));gap:8px 14px}
.parameters{grid-template-columns:minmax(0,1fr)}
.fit .dag{max-width:none}
.gantt{grid-template-columns:104px minmax(0,1fr);gap:0 6px}
.odd text{display:none}
thead{display:none}
table,tbody{display:block}
tbody tr{display:flex;flex-wrap:wrap;gap:1px 14px;padding:9px 0;border-top:1px solid var(--line)}
tbody th,tbody td{border:0;padding:0;min-width:0;text-align:left}
tbody th{flex:1 1 100%}
.inner{padding-left:16px}
.inner .name{padding-left:0}
tbody td:empty{display:none}
td[data-l]::before{content:attr(data-l) " ";color:var(--soft);font-size:11.5px}
.state::before{content:none!important}
.why{flex:1 1 100%}
}
@media print{
body{background:none;font-size:11px}
main{max-width:none;padding:0}
header,section{break-inside:auto;border-color:#ccc;padding:10px 12px}
.scroll,details pre,article pre{overflow:visible;max-height:none}
.dag{max-width:100%;height:auto}
.filter{display:none}
tr,article,.graph,.time{break-inside:avoid}
h2,.note{break-after:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""

STYLE = (
    f":root{{color-scheme:light dark;{_variables(0)}}}"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(1)}}}}}"
    f"{_COLOURS}{_RULES}"
)

SCRIPT = """
const field=document.querySelector(".filter");
if(field){
const rows=[...document.querySelectorAll(".steps tbody tr")];
field.hidden=false;
field.addEventListener("input",event=>{
const word=event.target.value.toLowerCase();
for(const row of rows)row.hidden=!row.textContent.toLowerCase().includes(word);
});
}
"""
