// A ZIP file of files as they are: pictures are compressed already.

const POLYNOMIAL = 0xedb88320;  // of CRC-32
const TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? POLYNOMIAL ^ (value >>> 1) : value >>> 1;
  return value;
});
const UTF8 = 1 << 11;  // flag: names are in UTF-8
const MIDNIGHT = 33;  // 1980-01-01, the first day that a ZIP can name: nothing depends on the clock

/** The checksum of a ZIP. @param {Uint8Array} bytes */
export function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Numbers of 2 and 4 bytes, the least first. @param {[bytes: 2 | 4, value: number][]} fields */
function numbers(fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [bytes]) => sum + bytes, 0)));
  let at = 0;
  for (const [bytes, value] of fields) {
    if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += bytes;
  }
  return view.buffer;
}

/**
 * Put files into a ZIP.
 *
 * @param {{name: string, file: Blob}[]} files with different names, less than 4 GB together
 * @returns {Promise<Blob>}
 */
export async function zip(files) {
  /** @type {BlobPart[]} */
  const parts = [], directory = [];
  let at = 0;
  for (const { name, file } of files) {
    const title = new TextEncoder().encode(name), crc = crc32(new Uint8Array(await file.arrayBuffer()));
    /** @type {[2 | 4, number][]} */
    const about = [[2, 20], [2, UTF8], [2, 0], [2, 0], [2, MIDNIGHT], [4, crc], [4, file.size], [4, file.size], [2, title.length], [2, 0]];
    parts.push(numbers([[4, 0x04034b50], ...about]), title, file);
    directory.push(numbers([[4, 0x02014b50], [2, 20], ...about, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]]), title);
    at += 30 + title.length + file.size;
  }
  const listed = new Blob(directory);
  const end = numbers([[4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, listed.size], [4, at], [2, 0]]);
  return new Blob([...parts, listed, end], { type: "application/zip" });
}
