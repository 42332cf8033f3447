//! Compressed objects for the simulation: what they hold is known without a decoder.

use std::io::Write as _;
use std::sync::LazyLock;

/// Members and frames, with what each holds. None of them begins as another does.
static MEMBERS: LazyLock<Vec<Member>> = LazyLock::new(|| {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut members = vec![Member {
        stored: [&[0x53, 0x2a, 0x4d, 0x18, 2, 0, 0, 0][..], b"no"].concat(),
        content: Vec::new(),
    }];
    for length in 0..16 {
        let content: Vec<u8> = (0..length).map(|_| rng.u8(b'a'..=b'd')).collect();
        members.push(Member {
            stored: gzip(&content),
            content: content.clone(),
        });
        members.push(Member {
            stored: zstd(&content),
            content,
        });
    }
    members
});

struct Member {
    stored: Vec<u8>,
    content: Vec<u8>,
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Some members, one after another.
pub(super) fn draw(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut stored = Vec::new();
    for _ in 0..rng.usize(..4) {
        let member = &MEMBERS[rng.usize(..MEMBERS.len())];
        stored.extend_from_slice(&member.stored);
    }
    stored
}

/// What stored bytes hold.
pub(super) struct Held {
    /// Of all members that are whole.
    pub(super) content: Vec<u8>,
    /// Where each of them begins, and where the last of them ends.
    pub(super) starts: Vec<usize>,
    /// What the member may hold that is cut.
    cut: Vec<&'static [u8]>,
    pub(super) whole: bool,
}

impl Held {
    pub(super) fn by(stored: &[u8]) -> Self {
        let mut held = Self {
            content: Vec::new(),
            starts: vec![0],
            cut: Vec::new(),
            whole: true,
        };
        let mut rest = stored;
        while let Some(member) = MEMBERS.iter().find(|m| rest.starts_with(&m.stored)) {
            held.content.extend_from_slice(&member.content);
            rest = &rest[member.stored.len()..];
            held.starts.push(stored.len() - rest.len());
        }
        held.whole = rest.is_empty();
        if !held.whole {
            let begun = MEMBERS.iter().filter(|m| m.stored.starts_with(rest));
            held.cut = begun.map(|member| &member.content[..]).collect();
        }
        held
    }

    /// Whether that may have been given out before it was found that there is no more.
    pub(super) fn begins_with(&self, given: &[u8]) -> bool {
        match given.strip_prefix(&self.content[..]) {
            None => self.content.starts_with(given),
            Some([]) => true,
            Some(more) => self.cut.iter().any(|cut| cut.starts_with(more)),
        }
    }
}
