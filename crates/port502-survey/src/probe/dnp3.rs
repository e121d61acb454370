//! DNP3: a request for the status of the link (IEEE 1815, section 9.2), sent to the self-address.
//!
//! ```text
//!   05 64 | length | control | destination LE | source LE | CRC LE
//! ```

use super::{Answer, Fields, Progress};

/// The address to which an outstation answers whatever its own is, where it is set up to.
const SELF_ADDRESS: u16 = 0xFFFC;

/// Our own: the highest that a station may have.
const OURS: u16 = 0xFFEF;

/// REQUEST LINK STATUS from a master.
const REQUEST_LINK_STATUS: u8 = 0xC9;

/// An outstation's addresses, as its answer has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its own address.
    pub source: u16,
}

/// The request.
pub fn request() -> Vec<u8> {
    let mut frame = vec![0x05, 0x64, 5, REQUEST_LINK_STATUS];
    frame.extend(SELF_ADDRESS.to_le_bytes());
    frame.extend(OURS.to_le_bytes());
    frame.extend(crc(&frame).to_le_bytes());
    frame
}

/// Reads what has come so far: the header of a frame.
pub fn read(bytes: &[u8]) -> Progress {
    let mut fields = Fields(bytes);
    match bytes {
        [] | [0x05] => return Progress::More,
        [0x05, 0x64, ..] => {}
        _ => return Progress::No,
    }
    let (Some(header), Some(found)) = (fields.take(8), fields.u16_le()) else { return Progress::More };
    let mut addresses = Fields(header.get(4..).unwrap_or_default());
    let (_, source) = (addresses.u16_le(), addresses.u16_le());
    match source {
        // What has our address as its source is our own frame come back.
        Some(source) if found == crc(header) && source != OURS => {
            Progress::Done(Answer::Dnp3(Link { source }))
        }
        _ => Progress::No,
    }
}

/// CRC-16/DNP: polynomial 0x3D65 reflected, all bits of the result inverted.
fn crc(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(0, |crc, byte| {
        (0..8)
            .fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0xA6BC })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_that_of_the_catalogue() {
        assert_eq!(crc(b"123456789"), 0xEA82);
    }

    #[test]
    fn a_status_is_an_answer() {
        let mut frame = vec![0x05, 0x64, 5, 0x0B];
        frame.extend(OURS.to_le_bytes());
        frame.extend(10_u16.to_le_bytes());
        frame.extend(crc(&frame).to_le_bytes());
        assert_eq!(read(&frame), Progress::Done(Answer::Dnp3(Link { source: 10 })));
        for len in 0..frame.len() {
            assert_eq!(read(&frame[..len]), Progress::More, "{len}");
        }
        frame[3] ^= 1;
        assert_eq!(read(&frame), Progress::No);
        assert_eq!(read(&request()), Progress::No);
    }
}
