"""Style and script of the page that shows molecules: a canvas in two dimensions, painted from the back to the front."""

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --faint: #5c5c5c; --line: #c8c8c8; --ground: #ffffff;
  --good: #00714f; --bad: #a3270d; --button: #f3f3f3; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --faint: #a8a8a8; --line: #4a4a4a; --ground: #16181b;
  --good: #4fd1a5; --bad: #ff9b85; --button: #2a2d31; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; padding: 1rem; color: var(--ink); background: var(--ground);
  font: 16px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 46rem; margin: 0 auto; }
h1 { font-size: 1.25rem; line-height: 1.3; margin: 0 0 .75rem; overflow-wrap: anywhere; }
canvas { display: block; width: 100%; height: min(65vh, 34rem); min-height: 16rem; border: 1px solid var(--line);
  border-radius: 6px; touch-action: none; cursor: grab; }
canvas:active { cursor: grabbing; }
nav { display: flex; align-items: center; justify-content: space-between; gap: .5rem; margin: .75rem 0; }
button { font: inherit; color: inherit; background: var(--button); border: 1px solid var(--line); border-radius: 6px;
  padding: .4rem .9rem; cursor: pointer; }
p { margin: .25rem 0; overflow-wrap: anywhere; }
#formula { font-size: 1.15rem; }
#verdict { font-weight: 600; color: var(--good); }
#verdict.bad { color: var(--bad); }
#elements { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; margin: .5rem 0; }
#elements i { display: inline-block; width: .8em; height: .8em; border-radius: 50%; border: 1px solid var(--faint);
  margin-right: .35em; }
.help { font-size: .85rem; color: var(--faint); margin-top: .75rem; }
"""

# Colours after Corey, Pauling and Koltun; radii in ångström, a quarter of van der Waals'.
SCRIPT = """
"use strict";
(() => {
  const molecules = JSON.parse(document.getElementById("molecules").textContent);
  const canvas = document.getElementById("view"), pen = canvas.getContext("2d");
  const LOOKS = { H: ["#e8e8e8", 0.28, "hydrogen"], C: ["#606060", 0.42, "carbon"], N: ["#3b5bdb", 0.40, "nitrogen"],
    O: ["#e03131", 0.39, "oxygen"], F: ["#37b24d", 0.37, "fluorine"] };
  const START = [0.94, 0.09, 0.33, 0, 0.96, -0.27, -0.34, 0.26, 0.90];  // a little from the right and above
  const EYE = 14;  // ångström from the screen to the eye
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let ground = dark.matches ? "#16181b" : "#ffffff";
  let shown = 0, turn = START, zoom = 1;

  const look = (symbol) => LOOKS[symbol] || ["#d6336c", 0.45, symbol];
  const multiplied = (a, b) => a.map((_, k) => {
    const i = 3 * Math.floor(k / 3), j = k % 3;
    return a[i] * b[j] + a[i + 1] * b[j + 3] + a[i + 2] * b[j + 6];
  });
  function turned(dx, dy) {  // about the axis on the screen across the way the pointer went
    const angle = Math.hypot(dx, dy);
    if (!angle) return;
    const x = dy / angle, y = dx / angle, c = Math.cos(angle), s = Math.sin(angle), d = 1 - c;
    turn = straightened(multiplied(
      [c + x * x * d, x * y * d, y * s, x * y * d, c + y * y * d, -x * s, -y * s, x * s, c], turn));
  }
  function straightened(m) {  // rows orthonormal again, so that a thousand turns do not shear the molecule
    const unit = (v) => { const n = Math.hypot(...v); return v.map((e) => e / n); };
    const a = unit(m.slice(0, 3)), p = m.slice(3, 6), along = a[0] * p[0] + a[1] * p[1] + a[2] * p[2];
    const b = unit(p.map((e, i) => e - along * a[i]));
    return [...a, ...b, a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  }
  function mixed(hex, other, share) {
    const parts = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
    const a = parts(hex), b = parts(other);
    return `rgb(${a.map((v, i) => Math.round(v + share * (b[i] - v))).join(",")})`;
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight;
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(high * ratio);
    pen.setTransform(ratio, 0, 0, ratio, wide / 2 * ratio, high / 2 * ratio);
    pen.clearRect(-wide / 2, -high / 2, wide, high);
    pen.lineCap = "butt";
    const molecule = molecules[shown], x = molecule.places, count = molecule.atoms.length;
    let reach = 1;
    for (let i = 0; i < count; i++) reach = Math.max(reach, Math.hypot(x[3 * i], x[3 * i + 1], x[3 * i + 2]) + 0.6);
    const scale = zoom * Math.min(wide, high) / 2 / reach, eye = Math.max(EYE, 2.5 * reach);
    const atoms = molecule.atoms.map((symbol, i) => {
      const [a, b, c] = x.slice(3 * i, 3 * i + 3);
      const [u, v, z] = [0, 3, 6].map((k) => turn[k] * a + turn[k + 1] * b + turn[k + 2] * c);
      const near = scale * eye / (eye - z);
      const wrong = molecule.wrong.includes(i);
      return { u, v, x: u * near, y: -v * near, z, near, depth: (z + reach) / (2 * reach), kind: look(symbol), wrong };
    });
    const parts = atoms.map((atom) => ({ z: atom.z, paint: () => ball(atom) }));
    const project = (u, v, z) => ({ x: u * scale * eye / (eye - z), y: -v * scale * eye / (eye - z) });
    for (const [i, j, order] of molecule.bonds) parts.push(...sticks(atoms[i], atoms[j], order, project));
    parts.sort((a, b) => a.z - b.z).forEach((part) => part.paint());
  }
  // What lies behind fades a little towards the ground.
  const faded = (colour, depth) => mixed(colour, ground, 0.35 * (1 - Math.min(1, Math.max(0, depth))));
  function ball(atom) {
    const radius = atom.kind[1] * atom.near;
    const shade = pen.createRadialGradient(
      atom.x - 0.35 * radius, atom.y - 0.4 * radius, 0.1 * radius, atom.x, atom.y, radius);
    shade.addColorStop(0, mixed(atom.kind[0], "#ffffff", 0.75));
    shade.addColorStop(0.45, faded(atom.kind[0], atom.depth));
    shade.addColorStop(1, mixed(atom.kind[0], "#000000", 0.4));
    pen.fillStyle = shade;
    pen.beginPath();
    pen.arc(atom.x, atom.y, radius, 0, 2 * Math.PI);
    pen.fill();
    if (!atom.wrong) return;
    pen.strokeStyle = dark.matches ? "#ff9b85" : "#c92a2a";
    pen.lineWidth = Math.max(2, 0.07 * atom.near);
    pen.setLineDash([0.18 * atom.near, 0.1 * atom.near]);
    pen.beginPath();
    pen.arc(atom.x, atom.y, 1.25 * radius, 0, 2 * Math.PI);
    pen.stroke();
    pen.setLineDash([]);
  }
  function sticks(a, b, order, project) {  // two halves in the atoms' colours, from the balls' surfaces to the middle
    const apart = Math.hypot(b.u - a.u, b.v - a.v, b.z - a.z) || 1;
    const middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, z: (a.z + b.z) / 2, near: (a.near + b.near) / 2 };
    return [[a, b], [b, a]].map(([atom, other]) => ({
      z: (3 * middle.z + atom.z) / 4 - 0.05,
      paint: () => {
        const t = 0.85 * atom.kind[1] / apart, along = (p, q) => p + t * (q - p);
        if (t > 0.5) return;
        const from = project(along(atom.u, other.u), along(atom.v, other.v), along(atom.z, other.z));
        const dx = b.x - a.x, dy = b.y - a.y, length = Math.hypot(dx, dy) || 1;
        const width = middle.near * (order === 1 ? 0.2 : 0.11), gap = 0.18 * middle.near;
        for (let k = 0; k < order; k++) {
          const shift = (k - (order - 1) / 2) * gap, u = -dy / length * shift, v = dx / length * shift;
          for (const [share, dark] of [[1, 0.45], [0.62, 0.12], [0.2, -0.35]]) {  // dark rim, body, gleam
            const colour = faded(atom.kind[0], atom.depth);
            pen.strokeStyle = dark < 0 ? mixed(hexed(colour), "#ffffff", -dark) : mixed(hexed(colour), "#000000", dark);
            pen.lineWidth = Math.max(1, width * share);
            pen.beginPath();
            pen.moveTo(from.x + u, from.y + v);
            pen.lineTo(middle.x + u, middle.y + v);
            pen.stroke();
          }
        }
      },
    }));
  }
  const hexed = (rgb) => "#" + rgb.match(/\\d+/g).map((v) => Number(v).toString(16).padStart(2, "0")).join("");

  function say() {
    const molecule = molecules[shown], fault = molecule.fault, verdict = document.getElementById("verdict");
    document.getElementById("place").textContent = `${shown + 1} of ${molecules.length}`;
    const line = document.getElementById("formula");
    line.replaceChildren(`${molecule.number}: `, ...molecule.formula.split(/(\\d+)/).filter(Boolean).map((part) => {
      if (!/\\d/.test(part)) return part;
      const below = document.createElement("sub");
      below.textContent = part;
      return below;
    }));
    verdict.textContent = fault ? `fails the strict check: ${fault}` : "passes the strict check";
    verdict.className = fault ? "bad" : "";
    canvas.setAttribute("aria-label", `molecule ${molecule.number}, ${molecule.formula}, in three dimensions`);
    document.getElementById("elements").replaceChildren(...[...new Set(molecule.atoms)].sort().map((symbol) => {
      const entry = document.createElement("li"), dot = document.createElement("i");
      dot.style.background = look(symbol)[0];
      entry.append(dot, look(symbol)[2]);
      return entry;
    }));
  }
  function show(step) {
    shown = (shown + step + molecules.length) % molecules.length;
    turn = START;
    zoom = 1;
    say();
    draw();
  }
  function magnified(factor) {
    zoom = Math.min(8, Math.max(0.3, zoom * factor));
    draw();
  }

  const fingers = new Map();
  const spread = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
  canvas.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const finger = fingers.get(event.pointerId);
    if (!finger) return;
    const before = fingers.size === 2 ? spread() : 0, dx = event.clientX - finger.x, dy = event.clientY - finger.y;
    finger.x = event.clientX;
    finger.y = event.clientY;
    if (fingers.size === 1) turned(0.01 * dx, 0.01 * dy);
    else if (before) return magnified(spread() / before);
    draw();
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    magnified(Math.exp(-0.0015 * event.deltaY));
  }, { passive: false });
  canvas.addEventListener("dblclick", () => show(0));
  document.getElementById("previous").addEventListener("click", () => show(-1));
  document.getElementById("next").addEventListener("click", () => show(1));
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const act = { ArrowLeft: () => show(-1), ArrowRight: () => show(1), "+": () => magnified(1.15),
      "-": () => magnified(1 / 1.15), ArrowUp: () => { turned(0, -0.15); draw(); },
      ArrowDown: () => { turned(0, 0.15); draw(); } }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  dark.addEventListener("change", () => { ground = dark.matches ? "#16181b" : "#ffffff"; draw(); });
  window.addEventListener("resize", draw);
  say();
  draw();
})();
"""
