"""SVG elements of 320 x 240 on a ground that the page colours."""

from collections.abc import Mapping

from service.demo_cast import ACCUSED, GOOD, NEWCOMER, OFFENDER, OTHER

_SHADOW = '<ellipse cx="160" cy="207" rx="{}" ry="8" opacity=".12"/>'

_LAMP = (
    _SHADOW.format(112) + '<path d="M190 92l-62 112h150z" fill="#ffcf5c" opacity=".38"/>'
    '<rect x="212" y="190" width="72" height="13" rx="2" fill="#b9553b"/><path d="M216 193h64v7h-64z" fill="#fff6e4"/>'
    '<rect x="206" y="177" width="72" height="13" rx="2" fill="#2d5e8a"/><path d="M210 180h64v7h-64z" fill="#fff6e4"/>'
    '<path d="M84 198l34-78 66-46" fill="none" stroke="#b98a45" stroke-width="7" stroke-linecap="round"'
    ' stroke-linejoin="round"/>'
    '<rect x="42" y="192" width="86" height="12" rx="6" fill="#24352f"/><circle cx="118" cy="120" r="8" fill="#24352f"/>'
    '<g transform="translate(186 70) rotate(-6)"><ellipse cx="2" cy="33" rx="44" ry="9" fill="#fff1c4"/>'
    '<path d="M-14-18q16-8 32 0 22 18 29 49-45 12-90 0 7-31 29-49z" fill="#1f5c49"/>'
    '<path d="M-14-18q8-4 12-4-16 24-18 55-13-1-23-2 7-31 29-49z" fill="#fff" opacity=".12"/>'
    '<rect x="-8" y="-32" width="20" height="14" rx="5" fill="#24352f"/></g>'
)
_PAPER = (
    _SHADOW.format(104)
    + '<g transform="rotate(-9 150 125)"><rect x="74" y="50" width="118" height="150" rx="3" fill="#e7dfd0"/></g>'
    '<g transform="rotate(-2 150 125)"><rect x="84" y="44" width="118" height="154" rx="3" fill="#fffdf8"/>'
    '<path d="M102 72h46M102 92h82M102 108h82M102 124h82M102 140h60" stroke="#c9c0ae" stroke-width="3"'
    ' stroke-linecap="round"/><circle cx="182" cy="68" r="8" fill="none" stroke="#a8432f" stroke-width="3"/></g>'
    '<g transform="rotate(5 205 165)"><rect x="140" y="128" width="122" height="78" rx="4" fill="#efe2c8"/>'
    '<path d="M140 204l48-40M262 204l-48-40" stroke="#d4c3a0" stroke-width="2.5"/>'
    '<path d="M142 129h118l-54 43q-5 4-10 0z" fill="#f8eed9" stroke="#d4c3a0" stroke-width="2.5"/>'
    '<circle cx="201" cy="167" r="11" fill="#a8432f"/><path d="M197 167q4-8 8 0-4 8-8 0z" fill="#f8eed9"/></g>'
    '<g transform="rotate(38 252 80)"><rect x="246" y="28" width="12" height="92" rx="5" fill="#26465f"/>'
    '<path d="M246 112h12l-6 24z" fill="#c79a4b"/><rect x="246" y="66" width="12" height="6" fill="#c79a4b"/></g>'
)
_AIRBAG = (
    '<circle cx="160" cy="122" r="88" fill="none" stroke="#23282d" stroke-width="17"/>'
    '<path d="M100 60a87 87 0 0 1 92-20" fill="none" stroke="#fff" stroke-width="5" stroke-linecap="round" opacity=".22"/>'
    '<path d="M76 108q42-4 44 2v28q-4 4-42 4zM244 108q-42-4-44 2v28q4 4 42 4zM140 160h40l8 46q-28 8-56 0z" fill="#596169"/>'
    '<path d="M118 88q42-16 84 0 10 4 10 18v34q0 10-8 15l-28 20q-16 8-32 0l-28-20q-8-5-8-15v-34q0-14 10-18z" fill="#343b42"/>'
    '<path d="M121 94q39-14 78 0" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round" opacity=".25"/>'
    '<circle cx="160" cy="122" r="17" fill="none" stroke="#c8d0d6" stroke-width="4"/>'
    '<path d="M151 128l9-14 9 14" fill="none" stroke="#c8d0d6" stroke-width="4" stroke-linecap="round"'
    ' stroke-linejoin="round"/><path d="M136 158h48" stroke="#c8d0d6" stroke-width="4" stroke-linecap="round" opacity=".55"/>'
)
_PADS = (
    _SHADOW.format(110)
    + '<circle cx="160" cy="122" r="84" fill="#aeb8c0"/><circle cx="160" cy="122" r="84" fill="none" stroke="#8f9aa3"'
    ' stroke-width="5"/><circle cx="160" cy="122" r="39" fill="#7d8891"/><circle cx="160" cy="122" r="15" fill="#4d565e"/>'
    '<g fill="#e4e9ed"><circle cx="160" cy="96" r="5"/><circle cx="185" cy="114" r="5"/><circle cx="175" cy="143" r="5"/>'
    '<circle cx="145" cy="143" r="5"/><circle cx="135" cy="114" r="5"/></g>'
    '<g fill="#8f9aa3"><circle cx="160" cy="62" r="4"/><circle cx="118" cy="80" r="4"/><circle cx="202" cy="80" r="4"/>'
    '<circle cx="160" cy="182" r="4"/></g>'
    '<path d="M52 116a112 112 0 0 1 32-74q6-6 13 0l34 32q5 5 0 10a56 56 0 0 0-16 34q-1 8-8 8H60q-8 0-8-10z" fill="#2f363c"/>'
    '<path d="M66 110a98 98 0 0 1 25-52l30 28a58 58 0 0 0-16 26z" fill="#8a6648"/><path d="M80 79l30 24" stroke="#2f363c"'
    ' stroke-width="5"/>'
    '<path d="M268 128a112 112 0 0 1-32 74q-6 6-13 0l-34-32q-5-5 0-10a56 56 0 0 0 16-34q1-8 8-8h47q8 0 8 10z"'
    ' fill="#2f363c"/>'
    '<path d="M254 134a98 98 0 0 1-25 52l-30-28a58 58 0 0 0 16-26z" fill="#8a6648"/><path d="M240 165l-30-24"'
    ' stroke="#2f363c" stroke-width="5"/>'
)
_WIPERS = (
    '<path d="M34 186q10-94 48-124 78-18 156 0 38 30 48 124-126-20-252 0z" fill="#cfe2ec" stroke="#39434b" stroke-width="7"'
    ' stroke-linejoin="round"/>'
    '<path d="M58 172q12-68 44-98 34-4 70-4l-46 94q-36 2-68 8zM152 164l62-90q10 14 16 30l-30 62q-22-2-48-2z"'
    ' fill="#f6fbfd"/>'
    '<g fill="#7fb0cc"><path d="M252 124q9 14 0 20-9-6 0-20zM228 78q7 11 0 16-7-5 0-16zM262 92q6 9 0 13-6-4 0-13z"/>'
    '<path d="M242 154q6 9 0 13-6-4 0-13zM192 86q6 9 0 13-6-4 0-13zM64 108q6 9 0 13-6-4 0-13z"/></g>'
    '<path d="M148 124l-34 76M228 126l-32 74" stroke="#4a555e" stroke-width="6" stroke-linecap="round"/>'
    '<path d="M174 68l-50 108M250 82l-42 94" stroke="#1d2226" stroke-width="8" stroke-linecap="round"/>'
    '<circle cx="114" cy="200" r="9" fill="#1d2226"/><circle cx="196" cy="200" r="9" fill="#1d2226"/>'
)

DRAWINGS: Mapping[str, str] = {
    GOOD.seller: _LAMP,
    NEWCOMER.seller: _PAPER,
    OFFENDER.seller: _AIRBAG,
    ACCUSED.seller: _PADS,
    OTHER.seller: _WIPERS,
}
"""By seller id."""
