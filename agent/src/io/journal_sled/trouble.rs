//! What the words of an error say of the disk. sled gives words where the system gave a number.

/// The disk is full.
pub(super) fn is_full(error: &str) -> bool {
    ["No space left", "quota exceeded", "StorageFull", "QuotaExceeded"].iter().any(|word| error.contains(word))
}

/// The disk, or the process, lacks something for now; what stands on the disk is not damaged.
pub(super) fn is_of_the_disk(error: &str) -> bool {
    let words = ["Read-only file system", "Too many open files", "Cannot allocate memory", "cannot start a thread"];
    is_full(error) || words.iter().any(|word| error.contains(word))
}
