//! x
pub(crate) fn config(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config::with_cases(cases)
}
