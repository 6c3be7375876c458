//! Where a value stands in a slave, and how its registers become a value.

/// Where a value stands in a slave, and how its registers become a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Register {
    /// Which table of registers.
    pub function: Function,
    /// Wire address of the first register, counted from zero.
    pub start: u16,
    /// Type of the value.
    pub kind: Kind,
    /// Order of its words and bytes.
    pub order: Order,
    /// Lowest and highest bit of an unsigned value that is only a part of the registers, counted from zero.
    pub bits: Option<(u8, u8)>,
    /// Address of a register of the same table with the power of ten the value is to be multiplied by, a signed
    /// integer (SunSpec's `sunssf`).
    pub exponent: Option<u16>,
    /// What the slave sends instead of a value when it has none, before scaling.
    pub sentinels: Vec<Sentinel>,
    /// Whether reading changes it, as a maximum since it was last read: it is never read twice for one value.
    pub reset_on_read: bool,
}

/// Which table of registers is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// Coils, function code 1.
    Coil,
    /// Discrete inputs, function code 2.
    Discrete,
    /// Holding registers, function code 3.
    Holding,
    /// Input registers, function code 4.
    Input,
}

impl Function {
    /// Whether it reads single bits.
    pub fn is_bits(self) -> bool {
        matches!(self, Function::Coil | Function::Discrete)
    }
}

/// Type of a value in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A coil or discrete input: 0 or 1.
    Bool,
    /// One register, unsigned.
    U16,
    /// One register, two's complement.
    I16,
    /// Two registers, unsigned.
    U32,
    /// Two registers, two's complement.
    I32,
    /// Four registers, unsigned.
    U64,
    /// Four registers, two's complement.
    I64,
    /// Two registers, IEEE 754 single precision.
    F32,
    /// Four registers, IEEE 754 double precision.
    F64,
}

impl Kind {
    /// Registers the value takes; of a bool, coils.
    pub fn words(self) -> u16 {
        match self {
            Kind::Bool | Kind::U16 | Kind::I16 => 1,
            Kind::U32 | Kind::I32 | Kind::F32 => 2,
            Kind::U64 | Kind::I64 | Kind::F64 => 4,
        }
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Kind::F32 | Kind::F64)
    }
}

/// Order of a value's words and bytes on the wire, in the usual letters for a 32-bit value whose most significant byte
/// is A. For 64 bits the letters mean the same two things; for 16 bits only the order of bytes matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Order {
    /// Big-endian words and bytes, as the Modbus specification has it.
    Abcd,
    /// Least significant word first.
    Cdab,
    /// Bytes swapped within each word.
    Badc,
    /// Little-endian throughout.
    Dcba,
}

/// A value that means "no value", before scaling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sentinel {
    /// The bits of an integer, as wide as its type.
    Bits(u64),
    /// A float.
    Float(f64),
}

/// From what was read to the channel's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// What one count is worth in the channel's unit.
    pub scale: Scale,
    /// Added after scaling, in the channel's unit.
    pub offset: f64,
    /// Least and greatest valid value, in the channel's unit.
    pub range: Option<(f64, f64)>,
}

/// What one count is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// A power of ten: integers stay integers.
    Decimal(i8),
    /// Anything else.
    Factor(f64),
}
