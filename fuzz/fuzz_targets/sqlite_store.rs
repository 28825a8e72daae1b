//! A whole store: recognised, opened, recovered, put out.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use mudlark_fuzz::mutate;
use mudlark_fuzz::store::{Bench, StoreInput};
use std::cell::RefCell;

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(Bench::new());
}

fuzz_target!(|data: &[u8]| {
    let Some(input) = StoreInput::split(data) else { return };
    BENCH.with_borrow_mut(|bench| bench.run(&input));
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    // Half of the mutations know of pages; the others go where the coverage leads.
    if seed.is_multiple_of(2) {
        mutate::store(&mut data[..size], seed)
    } else {
        fuzzer_mutate(data, size, max_size)
    }
});
