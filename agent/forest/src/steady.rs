//! What a number that does not change is worth.
//!
//! After a long constant signal every tree has but one point, and the least difference sets another apart from it as
//! well as a great one does. So a number that has long kept within the resolution of a value counts as that value,
//! until it leaves it by more.

/// One number of the input over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steady {
    /// The value it keeps to.
    pub(crate) held: f32,
    /// For how many inputs; counted up to [`LONG`].
    pub(crate) run: u8,
}

/// Inputs after which a number counts as not changing.
pub(crate) const LONG: u8 = 64;

impl Steady {
    /// What `value` counts as. `floor` is the resolution, as a part of the magnitude.
    pub(crate) fn settled(&self, value: f32, floor: f32) -> f32 {
        if self.run == LONG && self.is_near(value, floor) { self.held } else { value }
    }

    /// Goes on with the next value.
    pub(crate) fn take(&mut self, value: f32, floor: f32) {
        if self.is_near(value, floor) {
            self.run = LONG.min(self.run + 1);
        } else {
            *self = Steady { held: value, run: 1 };
        }
    }

    fn is_near(&self, value: f32, floor: f32) -> bool {
        (value - self.held).abs() <= floor * self.held.abs()
    }
}
