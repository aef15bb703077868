/** How the first page looks, in light and in dark. Everything is below one class, so that nothing of AdminJS's is touched. */
export const DASHBOARD_STYLE = `
.tk-dash { --ink: #0c1e29; --soft: #55616d; --card: #ffffff; --line: #e1e5ea; --track: #edf0f5; --one: #3040d6; --two: #007d7f; --bad: #c20012; --wait: #a9b4c0;
  color: var(--ink); padding: 24px; max-width: 1680px; font-size: 14px; line-height: 1.5; box-sizing: border-box }
.tk-dash[data-dark] { --ink: #e6eaf0; --soft: #aab5c1; --card: #1a1f26; --line: #323b47; --track: #2a323d; --one: #8ea2ff; --two: #5cc9b8; --bad: #ff8d96; --wait: #66727f }
.tk-dash * { box-sizing: border-box }
.tk-dash h2, .tk-dash h3, .tk-dash h4 { font-weight: 700; color: var(--ink) }
.tk-dash h2 { font-size: 26px; line-height: 1.25; margin-bottom: 20px; overflow-wrap: anywhere }
.tk-dash h3 { font-size: 16px; line-height: 1.3; margin-bottom: 12px }
.tk-dash h4 { font-size: 14px; overflow-wrap: anywhere }
.tk-dash a { color: inherit; text-decoration: underline; text-underline-offset: 2px; text-decoration-color: var(--wait) }
.tk-dash a:hover { text-decoration-color: currentColor }
.tk-dash :focus-visible { outline: 2px solid var(--one); outline-offset: 2px }
.tk-cards { display: grid; gap: 16px; grid-template-columns: repeat(12, minmax(0, 1fr)); margin-bottom: 16px }
.tk-card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px; min-width: 0; grid-column: span 6 }
.tk-card.tk-full { grid-column: span 12 }
.tk-keys { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); margin-bottom: 16px }
.tk-key { display: block; background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 20px; min-width: 0 }
.tk-dash a.tk-key { text-decoration: none }
.tk-dash a.tk-key:hover { border-color: var(--one) }
.tk-key b { display: block; font-size: 28px; line-height: 1.25; font-weight: 700; font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
.tk-key b.tk-text { font-size: 16px; line-height: 1.5; padding: 4px 0 }
.tk-soft, .tk-key span { color: var(--soft) }
.tk-bad { color: var(--bad) }
.tk-dash table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
.tk-dash caption { text-align: left }
.tk-dash th { text-align: left; font-weight: 400; color: var(--soft); padding: 6px 12px 6px 0; vertical-align: top }
.tk-dash td { padding: 6px 12px 6px 0; vertical-align: top; overflow-wrap: break-word }
.tk-dash tbody th { color: var(--ink); overflow-wrap: anywhere }
.tk-dash .tk-anywhere { overflow-wrap: anywhere; min-width: 90px }
.tk-dash th:last-child, .tk-dash td:last-child { padding-right: 0 }
.tk-dash .tk-number { text-align: right; white-space: nowrap }
.tk-rule tbody tr { border-top: 1px solid var(--line) }
.tk-bars th { width: 32% }
.tk-bars .tk-track { width: auto }
.tk-bars .tk-number { width: 1% }
.tk-bars.tk-waves th { width: 88px }
.tk-bars.tk-waves td:last-child { width: 40% }
.tk-track > div { height: 12px; margin-top: 4px; border-radius: 3px; background: var(--track); overflow: hidden; display: flex }
.tk-track i { display: block; height: 100%; min-width: 2px; background: var(--one) }
.tk-track i.tk-two { background: var(--two) }
.tk-track i.tk-applied { background: var(--two) }
.tk-track i.tk-running { background: repeating-linear-gradient(90deg, var(--one) 0 4px, transparent 4px 7px) }
.tk-track i.tk-failed { background: repeating-linear-gradient(45deg, var(--bad) 0 4px, var(--card) 4px 6px) }
.tk-track i.tk-skipped { background: var(--wait) }
.tk-track i.tk-pending { background: none }
.tk-legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin-top: 8px }
.tk-legend span { display: inline-flex; align-items: center; gap: 6px; color: var(--soft) }
.tk-legend .tk-track { display: inline-block; width: 22px }
.tk-legend .tk-track > div { margin: 0 }
.tk-bar-key { width: 10px; height: 12px; border-radius: 2px; background: var(--one) }
.tk-line-key { width: 18px; height: 3px; border-radius: 2px; background: var(--two) }
.tk-time { white-space: nowrap; color: var(--soft) }
.tk-run table { margin-top: 8px }
.tk-run + .tk-run { margin-top: 20px; padding-top: 16px; border-top: 1px solid var(--line) }
.tk-dash svg { display: block; width: 100%; overflow: visible; margin-top: 8px }
.tk-dash svg text { fill: var(--soft); font-size: 12px; font-family: inherit }
.tk-dash svg .tk-grid { stroke: var(--line); stroke-width: 1 }
.tk-dash svg .tk-bar { fill: var(--one) }
.tk-dash svg .tk-line { fill: none; stroke: var(--two); stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round }
.tk-dash svg .tk-area { fill: var(--two); opacity: .16 }
.tk-dash svg .tk-dot { fill: var(--two); stroke: var(--card); stroke-width: 2 }
.tk-dash details { margin-top: 12px; color: var(--soft) }
.tk-dash summary { cursor: pointer; width: fit-content }
.tk-dash details > div { max-height: 280px; overflow: auto; margin-top: 8px; color: var(--ink) }
.tk-choice { display: inline-flex; border: 1px solid var(--wait); border-radius: 6px; overflow: hidden; float: right }
.tk-choice button { font: inherit; font-size: 13px; padding: 4px 12px; border: 0; background: none; color: var(--ink); cursor: pointer }
.tk-choice button[aria-pressed=true] { background: var(--one); color: var(--card) }
.tk-choice button:focus-visible { outline-offset: -2px }
.tk-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
@media (max-width: 1100px) { .tk-card { grid-column: span 12 } }
@media (max-width: 600px) {
  .tk-dash { padding: 16px }
  .tk-card { padding: 16px }
  .tk-keys { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 12px }
  .tk-key { padding: 12px 14px }
  .tk-key b { font-size: 22px }
  .tk-choice { float: none; margin-bottom: 8px }
  .tk-stack thead { display: none }
  .tk-stack tr, .tk-stack td, .tk-stack th { display: block; padding: 2px 0 }
  .tk-stack tr { padding: 8px 0 }
}
`
