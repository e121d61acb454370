//! Frames by hand.

/// A frame of Modbus/TCP.
pub fn mbap(id: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let [i1, i0] = id.to_be_bytes();
    let [l1, l0] = u16::try_from(pdu.len() + 1).unwrap().to_be_bytes();
    [&[i1, i0, 0, 0, l1, l0, unit], pdu].concat()
}

/// Bytes written as hexadecimal, blanks anywhere.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
