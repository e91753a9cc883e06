//! The document as a tree, while it is put together.

use serde_json::{Map, Value};

/// The object at a place, if there is one.
pub(super) fn object_at<'a>(document: &'a mut Value, pointer: &str) -> Option<&'a mut Map<String, Value>> {
    document.pointer_mut(pointer)?.as_object_mut()
}

/// Puts schemas in the place of those that only hold their name.
pub(super) fn define(document: &mut Value, schemas: impl IntoIterator<Item = (String, Value)>) {
    if let Some(defined) = object_at(document, "/components/schemas") {
        defined.extend(schemas);
    }
}
