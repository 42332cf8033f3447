//! The rows that the examples write.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub number: u64,
    pub device: String,
    pub celsius: f64,
    pub note: Option<String>,
}

impl Event {
    /// The event of this number, the same each time.
    pub fn sample(number: u64) -> Self {
        Self {
            number,
            device: format!("device-{}", number % 7),
            celsius: (number as f64).sin() * 40.0,
            note: number
                .is_multiple_of(5)
                .then(|| "\"quoted\", and\nin two lines: 温度".into()),
        }
    }
}
