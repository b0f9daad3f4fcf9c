//! Admission: from a received document to what is stored, or to all rules that it breaks.
