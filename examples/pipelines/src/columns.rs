//! Events as columns, for the formats of Arrow.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::Event;

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("number", DataType::UInt64, false),
        Field::new("device", DataType::Utf8, false),
        Field::new("celsius", DataType::Float64, false),
        Field::new("note", DataType::Utf8, true),
    ]))
}

/// The events of these numbers.
pub fn record_batch(numbers: Range<u64>) -> RecordBatch {
    let events: Vec<Event> = numbers.map(Event::sample).collect();
    let each = events.iter();
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(UInt64Array::from_iter_values(
                each.clone().map(|e| e.number),
            )),
            Arc::new(StringArray::from_iter_values(
                each.clone().map(|e| &e.device),
            )),
            Arc::new(Float64Array::from_iter_values(
                each.clone().map(|e| e.celsius),
            )),
            Arc::new(StringArray::from_iter(each.map(|e| e.note.as_ref()))),
        ],
    )
    .expect("columns as in the schema")
}
