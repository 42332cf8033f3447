//! A sequence of objects that are named by a template and rolled by size and time.

mod template;

pub use self::template::KeyTemplate;
