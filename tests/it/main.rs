//! The integration tests, in one binary so that they are linked once.

// Always true here; it tells clippy that the whole module is a test.
#[cfg(test)]
mod sim;
