//! A pcapng writer for tests: any block, either byte order, right or wrong.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    Little,
    Big,
}

pub(crate) struct Ng {
    pub(crate) order: Order,
    pub(crate) bytes: Vec<u8>,
}

impl Ng {
    pub(crate) fn new(order: Order) -> Self {
        let mut ng = Self { order, bytes: Vec::new() };
        ng.section(order);
        ng
    }

    pub(crate) fn section(&mut self, order: Order) -> &mut Self {
        self.order = order;
        let mut body = self.u32(0x1A2B_3C4D).to_vec();
        body.extend(self.u16(1));
        body.extend(self.u16(0));
        body.extend([0xFF; 8]); // length not known
        self.block(0x0A0D_0D0A, &body)
    }

    pub(crate) fn interface(&mut self, link: u16, snap_len: u32, options: &[(u16, &[u8])]) -> &mut Self {
        let mut body = self.u16(link).to_vec();
        body.extend(self.u16(0));
        body.extend(self.u32(snap_len));
        for (code, value) in options {
            body.extend(self.u16(*code));
            body.extend(self.u16(value.len() as u16));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.block(1, &body)
    }

    pub(crate) fn enhanced(&mut self, interface: u32, time: u64, packet: &[u8], original: u32) -> &mut Self {
        let mut body = self.u32(interface).to_vec();
        body.extend(self.u32((time >> 32) as u32));
        body.extend(self.u32(time as u32));
        body.extend(self.u32(packet.len() as u32));
        body.extend(self.u32(original));
        body.extend(packet);
        self.block(6, &body)
    }

    pub(crate) fn obsolete(&mut self, interface: u16, time: u64, packet: &[u8], original: u32) -> &mut Self {
        let mut body = self.u16(interface).to_vec();
        body.extend(self.u16(9)); // drops
        body.extend(self.u32((time >> 32) as u32));
        body.extend(self.u32(time as u32));
        body.extend(self.u32(packet.len() as u32));
        body.extend(self.u32(original));
        body.extend(packet);
        self.block(2, &body)
    }

    pub(crate) fn simple(&mut self, packet: &[u8], original: u32) -> &mut Self {
        let mut body = self.u32(original).to_vec();
        body.extend(packet);
        self.block(3, &body)
    }

    /// Pads the body and puts type and lengths round it.
    pub(crate) fn block(&mut self, block_type: u32, body: &[u8]) -> &mut Self {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let len = body.len() as u32 + 12;
        let head = [self.u32(block_type), self.u32(len)].concat();
        let tail = self.u32(len);
        self.bytes.extend(head);
        self.bytes.extend(body);
        self.bytes.extend(tail);
        self
    }

    pub(crate) fn u16(&self, value: u16) -> [u8; 2] {
        if self.order == Order::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(crate) fn u32(&self, value: u32) -> [u8; 4] {
        if self.order == Order::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}
