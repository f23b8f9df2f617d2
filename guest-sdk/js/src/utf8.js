// UTF-8, which QuickJS has no functions for. Where the engine has them, they are used.

const DECODER = globalThis.TextDecoder && new globalThis.TextDecoder();
const ENCODER = globalThis.TextEncoder && new globalThis.TextEncoder();
// Code units that are turned into text at a time: few enough to be arguments of one call.
const CHUNK = 8192;

/** Text of bytes; those that are not UTF-8 become the replacement character. */
export function decode(bytes) {
  return DECODER ? DECODER.decode(bytes) : decodeByBuiltins(bytes);
}

/** Bytes of text; half of a surrogate pair becomes the replacement character. */
export function encode(text) {
  return ENCODER ? ENCODER.encode(text) : encodeByHand(text);
}

/** Fast where there is no decoder: a loop over bytes costs an interpreter a hundred times what its built-in functions do. */
export function decodeByBuiltins(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, at + CHUNK));
  }
  if (!/[\x80-\xff]/.test(text)) return text;
  try {
    // What is not ASCII, run by run: each byte as %XX, read as UTF-8.
    text = text.replace(/[\x80-\xff]+/g, (run) => decodeURIComponent(escape(run)));
  } catch {
    // Not UTF-8 throughout.
    return decodeByHand(bytes);
  }
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

export function decodeByHand(bytes) {
  const units = new Uint16Array(CHUNK);
  const length = bytes.length;
  let text = "";
  let filled = 0;
  // A byte-order mark is no part of the text.
  let at = length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  while (at < length) {
    if (filled > CHUNK - 2) {
      text += String.fromCharCode.apply(null, units.subarray(0, filled));
      filled = 0;
    }
    const lead = bytes[at++];
    if (lead < 0x80) {
      units[filled++] = lead;
      continue;
    }
    // How many follow, and between what the first of them is (no overlong form, no surrogate, nothing beyond U+10FFFF).
    let more = 0;
    let low = 0x80;
    let high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) more = 1;
    else if (lead >= 0xe0 && lead <= 0xef) {
      more = 2;
      if (lead === 0xe0) low = 0xa0;
      if (lead === 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      more = 3;
      if (lead === 0xf0) low = 0x90;
      if (lead === 0xf4) high = 0x8f;
    }
    let point = more === 0 ? -1 : lead & (0x3f >> more);
    for (; more > 0; more--) {
      const byte = bytes[at];
      if (byte === undefined || byte < low || byte > high) {
        point = -1;
        break;
      }
      point = (point << 6) | (byte & 0x3f);
      low = 0x80;
      high = 0xbf;
      at++;
    }
    if (point < 0) units[filled++] = 0xfffd;
    else if (point < 0x10000) units[filled++] = point;
    else {
      units[filled++] = 0xd7c0 + (point >> 10);
      units[filled++] = 0xdc00 | (point & 0x3ff);
    }
  }
  return text + String.fromCharCode.apply(null, units.subarray(0, filled));
}

export function encodeByHand(text) {
  let bytes = new Uint8Array(text.length + 64);
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    if (length + 4 > bytes.length) {
      const larger = new Uint8Array(bytes.length * 2);
      larger.set(bytes);
      bytes = larger;
    }
    let point = text.codePointAt(at);
    if (point > 0xffff) at++;
    else if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
    if (point < 0x80) bytes[length++] = point;
    else {
      const more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
      bytes[length++] = ((0xff00 >> (more + 1)) & 0xff) | (point >> (6 * more));
      for (let i = more - 1; i >= 0; i--) bytes[length++] = 0x80 | ((point >> (6 * i)) & 0x3f);
    }
  }
  return bytes.subarray(0, length);
}
