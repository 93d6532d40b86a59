//! Items that go together into one frame, bounded in bytes.
//!
//! **Invariant:** order is kept; an item that is larger than a frame goes alone.

/// What a frame costs beside its items, bytes.
const FRAME_OVERHEAD: usize = 64;
/// What an item costs beside its own bytes: key and length.
const ITEM_OVERHEAD: usize = 16;

/// Items that go together into one frame.
pub(super) struct Batch<T> {
    items: Vec<T>,
    bytes: usize,
    bytes_max: usize,
}

impl<T> Batch<T> {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self {
            items: Vec::new(),
            bytes: FRAME_OVERHEAD,
            bytes_max,
        }
    }

    /// Adds an item; gives back the frame that was full before it.
    pub(super) fn add(&mut self, item: T, bytes: usize) -> Option<Vec<T>> {
        let bytes = bytes + ITEM_OVERHEAD;
        let full = if self.bytes + bytes > self.bytes_max {
            self.rest()
        } else {
            None
        };
        self.bytes += bytes;
        self.items.push(item);
        full
    }

    /// What was added since.
    pub(super) fn rest(&mut self) -> Option<Vec<T>> {
        self.bytes = FRAME_OVERHEAD;
        let items = std::mem::take(&mut self.items);
        (!items.is_empty()).then_some(items)
    }
}
