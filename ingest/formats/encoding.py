"""Which encoding a text file is in: UTF-8, UTF-16, GB18030 (and with it GBK), Big5, or Windows-1252.

A mark at the beginning settles it; so does valid UTF-8, which no other Chinese text is by chance. Between GB18030 and
Big5, which can read each other's bytes as nonsense, the commonest characters of Chinese decide: nonsense has none.
"""

from __future__ import annotations

import codecs
import io

SAMPLE = 256 * 1024
_CHUNK = 256 * 1024
_SCAN = 64 * 1024 * 1024
"""How far to look for the first byte beyond ASCII."""

_COMMON = frozenset(
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民"
    "這為個國時來們於對會發動過說產種後學號標題內類單編碼電話間"
    "号标题内容类型单位编码电话时间地址姓名受理办结责任网格街道社区区市路小区投诉咨询建议求助反映市民来电月日点分问题希望部门处理情况"
    "受理辦結責任網格街道社區區市路投訴諮詢建議求助反映市民來電月日點分問題希望部門處理情況"
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LEAST_COMMON_SHARE = 0.05


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Each undecodable byte as the lone surrogate U+DC00 + byte: the row around it is refused, its neighbours live."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) for byte in bad), error.end


ESCAPE = "duban-escape"
codecs.register_error(ESCAPE, _escape)


def detect_encoding(stream: io.BufferedIOBase) -> str:
    """The Python name of the encoding of ``stream``, which is read from the beginning and not put back."""
    start = stream.read(4)
    for mark, name in _BOMS:
        if start.startswith(mark):
            return name
    sample = start + stream.read(SAMPLE)
    wide = _utf16_without_mark(sample)
    if wide is not None:
        return wide
    scanned = len(sample)
    while sample.isascii() and scanned < _SCAN:
        sample = stream.read(_CHUNK)
        scanned += len(sample)
        if not sample:
            return "utf-8"
    return _by_content(sample)


def _by_content(sample: bytes) -> str:
    sample = _without_a_cut_beginning(sample)
    if _decodes(sample, "utf-8") is not None:
        return "utf-8"
    scores = {name: _chinese_share(_decodes(sample, name)) for name in ("gb18030", "big5hkscs")}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] >= _LEAST_COMMON_SHARE:
        return best
    return "utf-8" if _mostly_utf8(sample) else ("cp1252" if _lonely_high_bytes(sample) else best)


def _without_a_cut_beginning(sample: bytes) -> bytes:
    """A chunk may begin inside a character: start it at a line of its own, where there is one before the high bytes."""
    first = next((i for i, byte in enumerate(sample) if byte > 127), 0)
    line = sample.rfind(b"\n", 0, first)
    return sample[line + 1 :]


def _decodes(sample: bytes, encoding: str) -> str | None:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        return decoder.decode(sample, final=False)  # the sample may end inside a character
    except UnicodeDecodeError:
        return None


def _chinese_share(text: str | None) -> float:
    if text is None:
        return 0.0
    beyond = [c for c in text[:100_000] if ord(c) > 127]
    return sum(c in _COMMON for c in beyond) / len(beyond) if beyond else 0.0


def _mostly_utf8(sample: bytes) -> bool:
    """Valid UTF-8 but for a damaged character or two."""
    broken = sample.decode("utf-8", "replace").count("\ufffd")
    beyond = sum(byte > 127 for byte in sample)
    return broken * 20 < beyond


def _lonely_high_bytes(sample: bytes) -> bool:
    """High bytes that mostly stand alone between ASCII letters, as accents do in Western text."""
    beyond = [i for i, byte in enumerate(sample) if byte > 127]
    alone = sum((i == 0 or sample[i - 1] < 128) and (i + 1 >= len(sample) or sample[i + 1] < 128) for i in beyond)
    return alone > 0.8 * len(beyond)


def _utf16_without_mark(sample: bytes) -> str | None:
    if len(sample) < 4:
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if odd > 0.2 * half and even < 0.02 * half:
        return "utf-16-le"
    if even > 0.2 * half and odd < 0.02 * half:
        return "utf-16-be"
    return None
