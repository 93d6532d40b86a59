//! The v1 protocol buffers of Curfew, generated code only.
