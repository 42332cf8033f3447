//! Checkpoints: durable points from which a later process goes on.

use crate::values::path::ObjectPath;
use crate::values::position::ObjectPosition;
use crate::values::proven::Proven;

/// A durable point of an object, from which a replay may start. Store it together with the source's
/// offset. After a crash, open the object with [`replay`](crate::OssAppendWriterBuilder::replay) to
/// go on exactly there.
///
/// ```
/// use oss_append::{Checkpoint, ObjectPath};
///
/// let object = ObjectPath::new("my-bucket", "orders.log")?;
/// let whole_rerun = Checkpoint::start(object.clone());
/// let from_here = Checkpoint::new(object, 1_048_576).crc64(3231342946509354535);
/// # assert_ne!(whole_rerun, from_here);
/// # Ok::<(), oss_append::Error>(())
/// ```
///
/// With the feature `serde` it is stored as for example
/// `{"object":"oss://my-bucket/orders.log","position":1048576,"crc64":"3231342946509354535"}`. The
/// CRC-64 is text, since many readers of JSON round numbers of that size.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Checkpoint {
    /// The object.
    pub object: ObjectPath,
    /// The object's length at this point, in bytes.
    pub position: u64,
    /// The CRC-64 of the object up to this point. Without it, what is replayed is compared by
    /// reading the object back instead of by its checksum.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none", with = "as_text")
    )]
    pub crc64: Option<u64>,
}

impl Checkpoint {
    /// The beginning of the object: everything is written again.
    pub fn start(object: ObjectPath) -> Self {
        Self::at(object, Proven::EMPTY)
    }

    /// A checkpoint at `position` without a checksum; at position 0, the checksum of no bytes.
    pub fn new(object: ObjectPath, position: u64) -> Self {
        Self::at(object, Proven::unknown(ObjectPosition::new(position)))
    }

    /// Sets the CRC-64 of the object up to this point.
    #[must_use]
    pub fn crc64(mut self, crc64: u64) -> Self {
        self.crc64 = Some(crc64);
        self
    }

    pub(crate) fn at(object: ObjectPath, proven: Proven) -> Self {
        Self {
            object,
            position: proven.position.bytes(),
            crc64: proven.crc,
        }
    }

    pub(crate) fn proven(&self) -> Proven {
        Proven {
            position: ObjectPosition::new(self.position),
            crc: self.crc64,
        }
    }
}

#[cfg(feature = "serde")]
mod as_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(crc: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        crc.map(|crc| crc.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(de::Error::custom))
            .transpose()
    }
}
