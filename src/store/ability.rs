//! What a store can do, where stores differ.

/// The limits of a store. `None`: there is none, or none that is known beforehand.
///
/// Appends respect them: nothing that would exceed one of them is sent.
///
/// ```
/// use oss_append::StoreLimits;
///
/// // Blocks of at most 100 MiB, and 50,000 of them.
/// let limits = StoreLimits::new().max_append(100 << 20).max_appends(50_000);
/// assert_eq!(limits.max_object, None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreLimits {
    /// The most bytes of one append. A writer's appends are no longer than this, whatever its
    /// [`max_append_size`](crate::OssAppendWriterBuilder::max_append_size) is.
    pub max_append: Option<u64>,
    /// The most bytes of an object. The smaller of this and of
    /// [`max_object_size`](crate::OssAppendWriterBuilder::max_object_size) counts.
    pub max_object: Option<u64>,
    /// The most appends to an object. They are counted for an object that the writer has created,
    /// and for one whose [`ObjectInfo::appends`](crate::ObjectInfo::appends) is known.
    pub max_appends: Option<u64>,
}

impl StoreLimits {
    /// No limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the most bytes of one append.
    #[must_use]
    pub fn max_append(mut self, bytes: u64) -> Self {
        self.max_append = Some(bytes);
        self
    }

    /// Sets the most bytes of an object.
    #[must_use]
    pub fn max_object(mut self, bytes: u64) -> Self {
        self.max_object = Some(bytes);
        self
    }

    /// Sets the most appends to an object.
    #[must_use]
    pub fn max_appends(mut self, appends: u64) -> Self {
        self.max_appends = Some(appends);
        self
    }
}

/// What a store's answers prove about an object's content.
///
/// It decides what an append costs in addition to its own request:
///
/// | evidence | after an answer | after a lost answer |
/// |---|---|---|
/// | [`Crc64`](Self::Crc64) | proven by position and checksum | a look, whose checksum proves it |
/// | [`Tag`](Self::Tag) | proven by position, the tag is kept | a look, and the bytes are read back |
/// | [`Length`](Self::Length) | proven by position | a look, and the bytes are read back |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Evidence {
    /// Answers and looks name the CRC-64 of the whole object, as OSS does. An answer without it
    /// proves nothing: the object is looked at.
    #[default]
    Crc64,
    /// Answers and looks name a tag of the whole object, which changes with its content and with
    /// nothing else. It cannot be computed beforehand. If an answer names the expected position,
    /// that is the store's word for this append; the tag tells later whether the object has changed
    /// since. An answer without a tag proves nothing.
    ///
    /// Damage on the way to the store goes unnoticed, unless the store checks what it receives.
    Tag,
    /// Answers and looks name only the object's length. If an answer names the expected position,
    /// that is the store's word for this append. In a look, the length alone never proves anything:
    /// the bytes in question are read back.
    ///
    /// If an object is replaced by another of the same length while nothing is in doubt, that goes
    /// unnoticed, and so does damage on the way to the store.
    Length,
}
