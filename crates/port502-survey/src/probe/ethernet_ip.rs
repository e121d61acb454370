//! EtherNet/IP: ListIdentity (CIP volume 2, section 2-4.2), which needs no session.

use super::{Answer, Fields, Progress, text};

/// The command, and a header of zeros.
pub const REQUEST: [u8; 24] = [0x63, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Who a device says that it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The vendor's number with ODVA: 1 is Rockwell Automation.
    pub vendor: u16,
    /// The number of its device profile.
    pub device_type: u16,
    /// The vendor's number of the product.
    pub product_code: u16,
    /// Major and minor.
    pub revision: (u8, u8),
    /// The serial number.
    pub serial: u32,
    /// The product's name.
    pub name: String,
}

/// Reads what has come so far.
pub fn read(bytes: &[u8]) -> Progress {
    if bytes == REQUEST {
        return Progress::No;
    }
    match bytes {
        [] | [0x63] => return Progress::More,
        [0x63, 0, ..] => {}
        _ => return Progress::No,
    }
    let mut fields = Fields(bytes);
    let Some(len) = fields.take(2).and_then(|_| fields.u16_le()) else { return Progress::More };
    if len == 0 {
        // An echo becomes one with its last byte.
        return if bytes.len() < REQUEST.len() { Progress::More } else { Progress::No };
    }
    let Some(body) = fields.take(20).and_then(|_| fields.take(usize::from(len))) else {
        return Progress::More;
    };
    identity(body).map_or(Progress::No, |identity| Progress::Done(Answer::EtherNetIp(identity)))
}

fn identity(body: &[u8]) -> Option<Identity> {
    let mut fields = Fields(body);
    let (items, kind, _len) = (fields.u16_le()?, fields.u16_le()?, fields.u16_le()?);
    if items == 0 || kind != 0x000C {
        return None;
    }
    // The version of encapsulation, and the device's own idea of its address.
    fields.take(18)?;
    let (vendor, device_type, product_code) = (fields.u16_le()?, fields.u16_le()?, fields.u16_le()?);
    let [major, minor] = fields.array()?;
    let _status = fields.u16_le()?;
    let serial = fields.u32_le()?;
    let len = fields.u8()?;
    let name = text(fields.take(len.into())?);
    Some(Identity { vendor, device_type, product_code, revision: (major, minor), serial, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read() {
        let mut body = vec![1, 0, 0x0C, 0, 38, 0, 1, 0];
        body.extend([0; 16]);
        body.extend([1, 0, 14, 0, 54, 0, 20, 11, 0, 0, 0x78, 0x56, 0x34, 0x12, 4, b'1', b'7', b'5', b'6', 3]);
        let mut bytes = REQUEST.to_vec();
        bytes[2] = u8::try_from(body.len()).unwrap();
        bytes.extend(&body);
        let want = Identity {
            vendor: 1,
            device_type: 14,
            product_code: 54,
            revision: (20, 11),
            serial: 0x1234_5678,
            name: "1756".into(),
        };
        assert_eq!(read(&bytes), Progress::Done(Answer::EtherNetIp(want)));
        for len in 0..bytes.len() {
            assert_eq!(read(&bytes[..len]), Progress::More, "{len}");
        }
        assert_eq!(read(&REQUEST), Progress::No);
        // The item is another.
        bytes[26] = 0x0D;
        assert_eq!(read(&bytes), Progress::No);
    }
}
