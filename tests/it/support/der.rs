//! Just enough of DER to write what no library here writes, and to take a certificate apart.

/// An element with its content.
pub(crate) fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match u8::try_from(length) {
        Ok(short) if short < 0x80 => vec![tag, short],
        Ok(long) => vec![tag, 0x81, long],
        Err(_) => [&[tag, 0x82][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
    };
    [&header, content].concat()
}

/// A sequence of elements.
pub(crate) fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, &elements.concat())
}

/// The first element, and what comes after it.
pub(crate) fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (header, length) = measure(bytes);
    bytes.split_at(header + length)
}

/// What is inside the first element.
pub(crate) fn content(bytes: &[u8]) -> &[u8] {
    let (header, length) = measure(bytes);
    &bytes[header..header + length]
}

/// The length of the first element's header and of its content.
fn measure(bytes: &[u8]) -> (usize, usize) {
    let first = usize::from(bytes[1]);
    if first < 0x80 {
        return (2, first);
    }
    let more = first - 0x80;
    let length = bytes[2..2 + more].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    (2 + more, length)
}
