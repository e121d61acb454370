/// The four tables of the Modbus data model (V1.1b3, 4.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    /// Single bits that a client reads and writes.
    Coils,
    /// Single bits that a client only reads.
    DiscreteInputs,
    /// 16-bit words that a client only reads.
    InputRegisters,
    /// 16-bit words that a client reads and writes.
    HoldingRegisters,
}

impl Table {
    /// All four, in the order of their reference numbers' first digits: 0, 1, 3, 4.
    pub const ALL: [Table; 4] =
        [Table::Coils, Table::DiscreteInputs, Table::InputRegisters, Table::HoldingRegisters];

    /// Whether an item is one bit; otherwise it is a 16-bit register.
    #[must_use]
    pub const fn is_bits(self) -> bool {
        matches!(self, Table::Coils | Table::DiscreteInputs)
    }

    /// Whether the protocol has functions that write this table.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        matches!(self, Table::Coils | Table::HoldingRegisters)
    }

    /// The leading digit of references to this table: 0, 1, 3 or 4.
    #[must_use]
    pub const fn reference_digit(self) -> u8 {
        match self {
            Table::Coils => 0,
            Table::DiscreteInputs => 1,
            Table::InputRegisters => 3,
            Table::HoldingRegisters => 4,
        }
    }

    /// The short name that points are written with: `coil`, `discrete`, `input`, `holding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Table::Coils => "coil",
            Table::DiscreteInputs => "discrete",
            Table::InputRegisters => "input",
            Table::HoldingRegisters => "holding",
        }
    }

    /// The most items that one read request may ask for.
    #[must_use]
    pub const fn read_max(self) -> u16 {
        if self.is_bits() { 2000 } else { 125 }
    }
}

impl core::fmt::Display for Table {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}
