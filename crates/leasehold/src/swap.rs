//! The order in which a value is replaced under its readers, whatever it is kept in.
//!
//! It is apart from [`credential`](crate::credential), so that a checker can stand in for the memory and the threads and
//! try every order in which their steps can happen.

/// Where a value is. Putting it there and seeing it are one step each, and the value is whole.
pub(crate) trait Place {
    type Value;

    fn put(&self, value: Option<Self::Value>);
}

/// By what readers are told that there is another value. Whoever was told before is told again.
pub(crate) trait Bell {
    /// Rings, with the number of the new value; none if it was withdrawn.
    fn ring(&self, generation: Option<u32>);
}

/// The writer's half: one writer, any number of readers, and none waits for another.
#[derive(Debug)]
pub(crate) struct Swap<P, B> {
    pub(crate) place: P,
    pub(crate) bell: B,
}

impl<P: Place, B: Bell> Swap<P, B> {
    /// From now on this is the value. It is in its place before anybody is told, so that whoever was told, or knows its
    /// number, finds this value or a later one.
    pub(crate) fn publish(&self, generation: u32, value: P::Value) {
        self.place.put(Some(value));
        self.bell.ring(Some(generation));
    }

    /// There is no value any more.
    pub(crate) fn withdraw(&self) {
        self.place.put(None);
        self.bell.ring(None);
    }
}

#[cfg(test)]
mod tests {
    //! Every order of the writer's and a reader's steps, by loom, which also lets each read see all that the memory
    //! model of Rust allows.

    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use leasehold_testkit::record;
    use loom::sync::atomic::{AtomicU32, Ordering};
    use loom::sync::{Condvar, Mutex};
    use loom::thread;

    use super::*;

    /// What the writer does: the number of a value that is published, or none where it is withdrawn.
    type Script = &'static [Option<u32>];

    /// What is wrong on purpose.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fault {
        None,
        RingsFirst,
        WithdrawsInSilence,
        /// The place does not make what was written before visible.
        LooseMemory,
    }

    /// An atomic pointer to two fields, told by the number of the step that put it there.
    #[derive(Debug)]
    struct Memory {
        step: AtomicU32,
        fields: [[AtomicU32; 2]; 4],
        order: Ordering,
    }

    impl Memory {
        fn new(fault: Fault) -> Self {
            let order = if fault == Fault::LooseMemory { Ordering::Relaxed } else { Ordering::Release };
            let fields = std::array::from_fn(|_| std::array::from_fn(|_| AtomicU32::new(0)));
            Self { step: AtomicU32::new(0), fields, order }
        }

        /// The step that is seen now, and both fields of its value.
        fn load(&self) -> (u32, [u32; 2]) {
            let step = self.step.load(Ordering::Acquire);
            let fields = &self.fields[step as usize];
            (step, fields.each_ref().map(|field| field.load(Ordering::Relaxed)))
        }
    }

    impl Place for Arc<Memory> {
        type Value = u32;

        fn put(&self, value: Option<u32>) {
            let step = self.step.load(Ordering::Relaxed) + 1;
            for field in &self.fields[step as usize] {
                field.store(value.unwrap_or_default(), Ordering::Relaxed);
            }
            self.step.store(step, self.order);
        }
    }

    /// As tokio's `watch` has it.
    #[derive(Debug, Default)]
    struct Told {
        generation: u32,
        version: u32,
        is_over: bool,
    }

    #[derive(Debug, Default)]
    struct Watch {
        told: Mutex<Told>,
        changed: Condvar,
    }

    impl Watch {
        fn change(&self, change: impl FnOnce(&mut Told)) {
            change(&mut self.told.lock().unwrap());
            self.changed.notify_all();
        }

        fn generation(&self) -> u32 {
            self.told.lock().unwrap().generation
        }

        /// Waits for a version that was not seen; false once there will be no other.
        fn changed(&self, seen: &mut u32) -> bool {
            let mut told = self.told.lock().unwrap();
            while told.version == *seen && !told.is_over {
                told = self.changed.wait(told).unwrap();
            }
            let is_new = told.version != *seen;
            *seen = told.version;
            is_new
        }
    }

    impl Bell for Arc<Watch> {
        fn ring(&self, generation: Option<u32>) {
            self.change(|told| {
                told.generation = generation.unwrap_or(told.generation);
                told.version += 1;
            });
        }
    }

    fn write(swap: &Swap<Arc<Memory>, Arc<Watch>>, script: Script, fault: Fault) {
        for value in script {
            match (*value, fault) {
                (Some(value), Fault::RingsFirst) => {
                    swap.bell.ring(Some(value));
                    swap.place.put(Some(value));
                }
                (None, Fault::WithdrawsInSilence) => swap.place.put(None),
                (Some(value), _) => swap.publish(value, value),
                (None, _) => swap.withdraw(),
            }
        }
        swap.bell.change(|told| told.is_over = true);
    }

    /// Looks once; what is seen is whole and not older than what was seen before. Returns the step.
    fn look(memory: &Memory, script: Script, before: u32) -> u32 {
        let (step, fields) = memory.load();
        assert!(step >= before, "an older value after a newer one");
        let expect = step.checked_sub(1).and_then(|at| script[at as usize]).unwrap_or_default();
        assert_eq!(fields, [expect; 2], "a torn value");
        step
    }

    /// Looks whenever it was told to.
    fn wait(memory: &Memory, watch: &Watch, script: Script) {
        let (mut seen, mut step) = (0, 0);
        while watch.changed(&mut seen) {
            step = look(memory, script, step);
        }
        assert_eq!(step as usize, script.len(), "a change that nobody was told of");
    }

    /// Looks when it likes to.
    fn glance(memory: &Memory, watch: &Watch, script: Script) {
        let mut step = 0;
        for _ in 0..2 {
            let generation = watch.generation();
            step = look(memory, script, step);
            let newest = script[..step as usize].iter().flatten().max();
            assert!(generation <= newest.copied().unwrap_or_default(), "a number without its value");
        }
    }

    type Reader = fn(&Memory, &Watch, Script);

    /// How many executions there are; panics in the first that goes wrong.
    fn explore(script: Script, readers: &'static [Reader], fault: Fault) -> usize {
        let executions = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&executions);
        let mut checker = loom::model::Builder::new();
        // Readers do not meet, so that of two of them not every order is news.
        checker.preemption_bound = (readers.len() > 1).then_some(2);
        checker.check(move || {
            count.fetch_add(1, Ordering::SeqCst);
            let (memory, watch) = (Arc::new(Memory::new(fault)), Arc::new(Watch::default()));
            let start = |reader: &'static Reader| {
                let (memory, watch) = (Arc::clone(&memory), Arc::clone(&watch));
                thread::spawn(move || reader(&memory, &watch, script))
            };
            let readers: Vec<_> = readers.iter().map(start).collect();
            let swap = Swap { place: memory, bell: watch };
            write(&swap, script, fault);
            readers.into_iter().for_each(|reader| reader.join().unwrap());
        });
        executions.load(Ordering::SeqCst)
    }

    #[test]
    fn in_every_order_of_steps_readers_see_whole_values_in_order_and_miss_no_change() {
        let models: [(Script, &'static [Reader]); 5] = [
            (&[Some(1), Some(2)], &[wait]),
            (&[Some(1), None, Some(2)], &[wait]),
            (&[Some(1), None, Some(2)], &[glance]),
            (&[Some(1)], &[wait, wait]),
            (&[Some(1)], &[wait, glance]),
        ];
        let mut executions = 0;
        for (script, readers) in models {
            executions += explore(script, readers, Fault::None);
        }
        println!("loom: {executions} executions");
        record(
            "swap",
            &format!(
                "{executions} executions by loom, every order of a writer's and a reader's steps and, with two readers, \
                 those with up to two preemptions: no change missed, no older value after a newer one, none torn"
            ),
        );
    }

    #[test]
    fn what_is_wrong_on_purpose_is_found() {
        let faults: [(Fault, Script, &'static [Reader]); 4] = [
            (Fault::RingsFirst, &[Some(1)], &[wait]),
            (Fault::RingsFirst, &[Some(1)], &[glance]),
            (Fault::WithdrawsInSilence, &[Some(1), None], &[wait]),
            (Fault::LooseMemory, &[Some(1)], &[glance]),
        ];
        for (fault, script, readers) in faults {
            assert!(explore(script, readers, Fault::None) > 1);
            let found = std::thread::spawn(move || explore(script, readers, fault)).join();
            assert!(found.is_err(), "{fault:?} was not found");
        }
    }
}
