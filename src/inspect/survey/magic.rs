//! What a file is by its first bytes, whatever its name says.

use crate::domain::review::survey::Format;

/// Bytes that are enough to tell.
pub(in crate::inspect) const HEAD_BYTES: usize = 16;

/// First bytes, and what begins with them. Longer ones come before shorter ones they begin with.
const SIGNATURES: &[(&[u8], Format)] = &[
    (b"\x7fELF", Format::Elf),
    (b"MZ", Format::Pe),
    // Both byte orders, 32 and 64 bits.
    (b"\xfe\xed\xfa\xce", Format::MachO),
    (b"\xfe\xed\xfa\xcf", Format::MachO),
    (b"\xce\xfa\xed\xfe", Format::MachO),
    (b"\xcf\xfa\xed\xfe", Format::MachO),
    (b"\0asm", Format::Wasm),
    (b"dex\n", Format::Dex),
    (b"PK\x03\x04", Format::Archive),
    (b"PK\x05\x06", Format::Archive),
    (b"\x1f\x8b", Format::Archive),
    (b"BZh", Format::Archive),
    (b"\xfd7zXZ\0", Format::Archive),
    (b"\x28\xb5\x2f\xfd", Format::Archive),
    (b"7z\xbc\xaf\x27\x1c", Format::Archive),
    (b"Rar!\x1a\x07", Format::Archive),
    (b"!<arch>\n", Format::Archive),
    (b"\x89PNG\r\n\x1a\n", Format::Media),
    (b"\xff\xd8\xff", Format::Media),
    (b"GIF8", Format::Media),
    (b"RIFF", Format::Media),
    (b"\0\0\x01\0", Format::Media),
    (b"wOFF", Format::Media),
    (b"wOF2", Format::Media),
    (b"OTTO", Format::Media),
    (b"\0\x01\0\0", Format::Media),
    (b"%PDF", Format::Media),
];

/// `CAFEBABE` begins both fat Mach-O files and Java classes.
const CAFEBABE: &[u8] = b"\xca\xfe\xba\xbe";
/// The same for 64-bit offsets, which only fat Mach-O files have.
const CAFEBABF: &[u8] = b"\xca\xfe\xba\xbf";
/// The lowest class file version ever is 45; no fat file has as many architectures.
const CLASS_VERSION_MIN: u16 = 43;

/// The format of something with these first bytes; `None` when only the rest can tell text from
/// anything else.
pub(in crate::inspect) fn format(head: &[u8], path: &str) -> Option<Format> {
    if head.starts_with(CAFEBABF) {
        return Some(Format::MachO);
    }
    if head.starts_with(CAFEBABE) {
        let version = head.get(6..8).map_or(0, |v| u16::from_be_bytes([v[0], v[1]]));
        let class = version >= CLASS_VERSION_MIN;
        return Some(if class { Format::JavaClass } else { Format::MachO });
    }
    let known = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature));
    if let Some((_, format)) = known {
        // A text may begin with these two letters.
        let text = *format == Format::Pe && !head.contains(&0);
        return (!text).then_some(*format);
    }
    // The magic number of compiled Python ends in CR LF; the two bytes before change every version.
    let bytecode = head.get(2..4) == Some(b"\r\n") && is_compiled(path);
    bytecode.then_some(Format::PythonBytecode)
}

fn is_compiled(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("pyc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_their_first_bytes() {
        let cases: [(&[u8], Option<Format>); 9] = [
            (b"\x7fELF\x02\x01", Some(Format::Elf)),
            (b"MZ\x90\0\x03\0\0\0", Some(Format::Pe)),
            (b"MZ is a text", None),
            (b"\xca\xfe\xba\xbe\0\0\0\x02\0\0", Some(Format::MachO)),
            (b"\xca\xfe\xba\xbe\0\0\0\x34\0\0", Some(Format::JavaClass)),
            (b"\xcf\xfa\xed\xfe\x07", Some(Format::MachO)),
            (b"\0asm\x01\0\0\0", Some(Format::Wasm)),
            (b"#!/bin/sh\n", None),
            (b"", None),
        ];
        for (head, expected) in cases {
            assert_eq!(format(head, "a.png"), expected, "{head:?}");
        }
        assert_eq!(format(b"\xcb\r\r\n", "a.pyc"), Some(Format::PythonBytecode));
        assert_eq!(format(b"\xcb\r\r\n", "a.bin"), None);
    }
}
