//! ISO transport on TCP (RFC 1006) as S7 controllers speak it: a connection request of COTP, and no further.

use super::{Answer, Progress};

/// TPKT, and a connection request to rack 0, slot 2, as any programming tool begins.
pub const REQUEST: [u8; 22] =
    [3, 0, 0, 0x16, 0x11, 0xE0, 0, 0, 0, 0x14, 0, 0xC1, 2, 1, 0, 0xC2, 2, 1, 2, 0xC0, 1, 0x0A];

/// Reads what has come so far: a connection confirm, or a refusal in the same protocol.
pub fn read(bytes: &[u8]) -> Progress {
    match bytes {
        [] | [3] | [3, 0] | [3, 0, _] | [3, 0, _, _] | [3, 0, _, _, _] => Progress::More,
        // Connection confirm; disconnect request and error, which are answers, too.
        [3, 0, _, _, _, 0xD0 | 0x80 | 0x70, ..] => Progress::Done(Answer::S7),
        _ => Progress::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirm_is_an_answer() {
        let confirm =
            [3, 0, 0, 0x16, 0x11, 0xD0, 0, 0x14, 0, 1, 0, 0xC0, 1, 0x0A, 0xC1, 2, 1, 0, 0xC2, 2, 1, 2];
        assert_eq!(read(&confirm), Progress::Done(Answer::S7));
        for len in 0..6 {
            assert_eq!(read(&confirm[..len]), Progress::More, "{len}");
        }
        assert_eq!(read(&REQUEST), Progress::No);
        assert_eq!(read(b"SSH-2.0"), Progress::No);
    }
}
