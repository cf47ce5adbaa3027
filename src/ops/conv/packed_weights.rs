//! Weights as the kernels read them, kept from one pass to the next.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, InplaceOp1, Layout, Storage, Tensor};

use super::correlate::LivePanels;
use super::geometry::Window;
use super::plan::ConvPlan;
use crate::ops::int8_blocks::Int8Blocks;
use crate::ops::microkernel::Panels;
use crate::ops::quantized::ByteLayer;
use crate::spec::Precision;

/// The weights of convolutions and fully connected layers in the order in which the CPU's kernels read
/// them.
///
/// Without it, every pass brings them into that order anew, which takes most of the time of a pass over
/// a few images.
#[derive(Debug, Default)]
pub struct PackedWeights {
    form: WeightForm,
    of_place: Mutex<HashMap<WeightPlace, Arc<KeptWeight>>>,
    /// Those whose own values are to be given up, once they are packed.
    to_give_up: Mutex<Vec<Arc<KeptWeight>>>,
}

/// What weights are kept for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightForm {
    /// Passes over many rows: as the fastest kernels of the precision read them.
    #[default]
    Fast,
    /// Passes of a network that does nothing else any more, over inputs of one size: each weight in one form alone. Its
    /// tensor is left without values once it is packed, and no operation but those that keep weights takes it then.
    Alone,
    /// Passes over few rows, which wait for memory: fully connected layers' in as few bytes as the precision allows. The
    /// results are the same bytes.
    Small,
    /// The same, and fully connected layers' are rounded to eight bits: to whole numbers from -127 to 127 times the scale
    /// of their block of 32, as GGUF's `Q8_0` has them. So are the values that they are multiplied with.
    Int8,
}

/// What a fully connected layer does in place of the product with its weight.
pub enum StandIn {
    /// Multiplies bytes: its inputs are rounded to those that the layer was made for. A row with a value that is not
    /// finite has no results.
    Bytes(ByteLayer),
    /// The product; who watches is told what goes in and what comes out.
    Watched(Box<WatchRows>),
}

/// Is told rows of inputs and of results.
pub type WatchRows = dyn Fn(&[f32], &[f32]) + Send + Sync;

impl std::fmt::Debug for StandIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(layer) => layer.fmt(f),
            Self::Watched(_) => f.write_str("Watched"),
        }
    }
}

/// Where a contiguous weight lies: the address of its storage, the first value, the dimensions.
type WeightPlace = (usize, usize, Vec<usize>);

/// The forms of one weight.
#[derive(Debug, Default)]
pub(in crate::ops) struct KeptWeight {
    /// Keeps its storage alive, by whose address it is found.
    weight: Option<Tensor>,
    form: WeightForm,
    stand_in: Option<StandIn>,
    is_packed: AtomicBool,
    int8: Forms<(), Int8Blocks>,
    live: Forms<Direct, LivePanels>,
    /// For the product with the weight's transpose.
    backward: Forms<Direct, LivePanels>,
    winograd: Forms<(&'static str, Precision), Panels>,
    /// As they are before they are transformed.
    plain: Forms<(&'static str, Precision), Panels>,
    depthwise: Forms<Precision, Vec<f32>>,
}

/// What the direct way's panels depend on besides the weight: which taps are live is a matter of the
/// images' size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Direct {
    kernels: &'static str,
    precision: Precision,
    window: Window,
    dilation: usize,
    height: usize,
    width: usize,
}

impl Direct {
    fn of(plan: &ConvPlan) -> Self {
        Self {
            kernels: plan.kernels.name,
            precision: plan.precision,
            window: plan.geometry.window,
            dilation: plan.geometry.dilation,
            height: plan.geometry.input.height,
            width: plan.geometry.input.width,
        }
    }
}

/// Forms by what they depend on: one, or a few where images differ in size.
#[derive(Debug)]
struct Forms<K, T>(Mutex<Vec<(K, Arc<T>)>>);

impl<K, T> Default for Forms<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq, T> Forms<K, T> {
    fn get(&self, key: K, pack: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock()
            .iter()
            .find(|(other, _)| *other == key)
            .map(|(_, form)| form.clone());
        known.unwrap_or_else(|| {
            // Not under the lock: to pack is work for all threads, and one that waits for the lock
            // might be asked to do some of it.
            let form = pack();
            lock().push((key, form.clone()));
            form
        })
    }
}

thread_local! {
    static IN_USE: RefCell<Option<Arc<PackedWeights>>> = const { RefCell::new(None) };
    /// Whether several threads use them at once, so that an operation may have begun elsewhere, or on this very thread, that
    /// reads a weight which could be given up.
    static IS_SHARED: Cell<bool> = const { Cell::new(false) };
}

/// Brings back what was in use before, however the use is left.
struct RestoreUse(Option<Arc<PackedWeights>>);

impl Drop for RestoreUse {
    fn drop(&mut self) {
        IN_USE.set(self.0.take());
    }
}

impl PackedWeights {
    /// None yet.
    pub fn new(form: WeightForm) -> Self {
        Self {
            form,
            ..Self::default()
        }
    }

    /// Has fully connected layers of `weight`, on the CPU and in evaluation, do what `stand_in` says where these weights are
    /// reused. The weight's own values are left away where they are `given_up`: no other operation takes it then.
    ///
    /// # Panics
    /// A weight whose values do not lie side by side, or that is kept already.
    pub fn replace(&self, weight: &Tensor, stand_in: StandIn, given_up: bool) {
        assert!(weight.is_contiguous(), "a weight that lies side by side");
        let kept = KeptWeight {
            weight: Some(weight.clone()),
            form: self.form,
            stand_in: Some(stand_in),
            ..KeptWeight::default()
        };
        if given_up {
            kept.give_up();
        }
        let mut of_place = self.of_place.lock().unwrap_or_else(PoisonError::into_inner);
        let before = of_place.insert(place_of(weight), Arc::new(kept));
        assert!(before.is_none(), "a weight that is not kept yet");
    }

    /// Gives up the values of weights that were packed since. None of them is in use: the operations that packed them
    /// have ended.
    fn give_up(&self) {
        if IS_SHARED.get() {
            return;
        }
        let mut waiting = self.to_give_up.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|kept| !(kept.is_packed.load(Ordering::Relaxed) && kept.give_up()));
    }

    /// Those that are reused on this thread.
    pub(in crate::ops) fn in_use() -> Option<Arc<Self>> {
        IN_USE.with_borrow(Clone::clone)
    }

    /// As [`PackedWeights::reuse`], on several threads at a time: no weight gives up its values meanwhile.
    pub(in crate::ops) fn share<T>(self: &Arc<Self>, forward: impl FnOnce() -> T) -> T {
        struct RestoreSharing(bool);
        impl Drop for RestoreSharing {
            fn drop(&mut self) {
                IS_SHARED.set(self.0);
            }
        }
        let _guard = (
            RestoreSharing(IS_SHARED.replace(true)),
            RestoreUse(IN_USE.replace(Some(self.clone()))),
        );
        forward()
    }

    /// Runs `forward`; what it packs on this thread is kept, and used again by the next calls.
    ///
    /// The weights must not change as long as this lives: a change would not be seen.
    pub fn reuse<T>(self: &Arc<Self>, forward: impl FnOnce() -> T) -> T {
        self.give_up();
        let _guard = RestoreUse(IN_USE.replace(Some(self.clone())));
        forward()
    }
}

/// What is kept of a weight, if anything is to be. One whose values do not lie side by side is packed
/// anew each time.
pub(in crate::ops) fn kept(weight: &Tensor) -> Option<Arc<KeptWeight>> {
    let packed = IN_USE
        .with_borrow(Clone::clone)
        .filter(|_| weight.is_contiguous())?;
    packed.give_up();
    let mut of_place = packed.of_place.lock().unwrap_or_else(PoisonError::into_inner);
    let fresh = || {
        let kept = Arc::new(KeptWeight {
            weight: Some(weight.clone()),
            form: packed.form,
            ..KeptWeight::default()
        });
        if packed.form == WeightForm::Alone {
            let mut waiting = packed.to_give_up.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(kept.clone());
        }
        kept
    };
    Some(of_place.entry(place_of(weight)).or_insert_with(fresh).clone())
}

fn place_of(weight: &Tensor) -> WeightPlace {
    let (storage, layout) = weight.storage_and_layout();
    let address = std::ptr::from_ref(&*storage).addr();
    (address, layout.start_offset(), weight.dims().to_vec())
}

/// Leaves a tensor without values.
struct GiveUp;

impl InplaceOp1 for GiveUp {
    fn name(&self) -> &'static str {
        "give_up"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _layout: &Layout) -> candle_core::Result<()> {
        *storage = CpuStorage::F32(Vec::new());
        Ok(())
    }
}

impl KeptWeight {
    /// What it is kept for.
    pub fn form(&self) -> WeightForm {
        self.form
    }

    /// What its fully connected layers do instead.
    pub fn stand_in(&self) -> Option<&StandIn> {
        self.stand_in.as_ref()
    }

    /// Leaves the weight without values of its own; whether it could be, now or before. A part of another tensor keeps
    /// them.
    fn give_up(&self) -> bool {
        self.weight
            .as_ref()
            .is_some_and(|weight| is_whole(weight) && weight.inplace_op1(&GiveUp).is_ok())
    }

    /// In eight bits, as `pack` makes them the first time.
    pub fn int8(&self, pack: impl FnOnce() -> Int8Blocks) -> Arc<Int8Blocks> {
        self.int8.get((), || Arc::new(pack()))
    }
}

/// Whether a tensor has all values of its storage.
fn is_whole(tensor: &Tensor) -> bool {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => {
            let values = storage.as_slice::<f32>().map_or(0, <[f32]>::len);
            layout.start_offset() == 0 && values == tensor.elem_count()
        }
        _ => false,
    }
}

/// The forms of a weight that one operation uses several times.
#[derive(Debug, Default)]
pub(in crate::ops) struct PackedOnce(KeptWeight);

impl PackedOnce {
    /// The weight of these values, the same in every call.
    pub fn weight<'a>(&'a self, values: &'a [f32]) -> ConvWeight<'a> {
        ConvWeight {
            values,
            kept: Some(&self.0),
        }
    }
}

/// A weight `[O, I, K, K]`.
#[derive(Clone, Copy)]
pub(in crate::ops) struct ConvWeight<'a> {
    pub values: &'a [f32],
    pub kept: Option<&'a KeptWeight>,
}

impl<'a> ConvWeight<'a> {
    /// One of which nothing is kept.
    pub fn once(values: &'a [f32]) -> Self {
        Self { values, kept: None }
    }

    /// One of its forms, packed by `pack` unless it is kept.
    fn form<K: PartialEq, T>(
        &self,
        forms: impl FnOnce(&KeptWeight) -> &Forms<K, T>,
        key: K,
        pack: impl FnOnce(&[f32]) -> T,
    ) -> Arc<T> {
        let pack = || {
            assert!(
                !self.values.is_empty(),
                "a weight that was given up in another form"
            );
            Arc::new(pack(self.values))
        };
        match self.kept {
            Some(kept) => {
                let form = forms(kept).get(key, pack);
                kept.is_packed.store(true, Ordering::Relaxed);
                form
            }
            None => pack(),
        }
    }

    /// Its panels for the direct way, packed by `pack` unless they are kept.
    pub(super) fn live(&self, plan: &ConvPlan, pack: impl FnOnce(&[f32]) -> LivePanels) -> Arc<LivePanels> {
        self.form(|kept| &kept.live, Direct::of(plan), pack)
    }

    /// Its panels for the direct way back, packed by `pack` unless they are kept.
    pub(super) fn backward(
        &self,
        plan: &ConvPlan,
        pack: impl FnOnce(&[f32]) -> LivePanels,
    ) -> Arc<LivePanels> {
        self.form(|kept| &kept.backward, Direct::of(plan), pack)
    }

    /// Its transformed panels, made by `pack` unless they are kept.
    pub(super) fn winograd(&self, plan: &ConvPlan, pack: impl FnOnce(&[f32]) -> Panels) -> Arc<Panels> {
        let key = (plan.kernels.name, plan.precision);
        self.form(|kept| &kept.winograd, key, pack)
    }

    /// As depthwise convolutions read it, packed by `pack` unless it is kept.
    pub(super) fn depthwise(
        &self,
        precision: Precision,
        pack: impl FnOnce(&[f32]) -> Vec<f32>,
    ) -> Arc<Vec<f32>> {
        self.form(|kept| &kept.depthwise, precision, pack)
    }

    /// Its panels with all taps, packed by `pack` unless they are kept.
    pub(super) fn plain(&self, plan: &ConvPlan, pack: impl FnOnce(&[f32]) -> Panels) -> Arc<Panels> {
        let key = (plan.kernels.name, plan.precision);
        self.form(|kept| &kept.plain, key, pack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::*;
    use crate::ops::{ConvOptions, conv2d, linear};

    #[test]
    fn the_results_are_the_same_bytes() {
        let packed = Arc::new(PackedWeights::default());
        // Direct, by Winograd, shallow, of groups; one weight with images of several sizes.
        for (inputs, groups, size) in [
            (6, 1, 3),
            (36, 1, 3),
            (3, 1, 7),
            (12, 3, 3),
            (12, 12, 3),
            (16, 1, 1),
        ] {
            let weight = random(&[48, inputs / groups, size, size], 1);
            for height in [1, 8, 9, 8] {
                for (stride, dilation) in [(1, 1), (2, 1), (1, 2)] {
                    let x = random(&[2, height, 8, inputs], 2);
                    let options = ConvOptions {
                        stride,
                        padding: size / 2 * dilation,
                        dilation,
                        groups,
                    };
                    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
                        let convolve = || host(&conv2d(&x, &weight, None, options, precision).expect("fits"));
                        let plain = convolve();
                        for _ in 0..2 {
                            assert_eq!(packed.reuse(convolve), plain);
                        }
                    }
                }
            }
        }
        let (x, weight, bias) = (random(&[3, 20], 1), random(&[40, 20], 2), random(&[40], 3));
        let product = || host(&linear(&x, &weight, Some(&bias), Precision::F32).expect("fits"));
        let plain = product();
        assert_eq!(
            (packed.reuse(product), packed.reuse(product)),
            (plain.clone(), plain)
        );
    }

    #[test]
    fn a_form_alone_gives_the_same_bytes_and_leaves_no_values() {
        let options = |size: usize, groups| ConvOptions {
            padding: size / 2,
            groups,
            ..ConvOptions::default()
        };
        // Direct, by Winograd, of pixels, depthwise; of groups, which is never packed.
        let cases = [
            (6, 1, 3, true),
            (36, 1, 3, true),
            (16, 1, 1, true),
            (48, 48, 3, true),
            (12, 3, 3, false),
        ];
        for (inputs, groups, size, is_packed) in cases {
            let weight = random(&[48, inputs / groups, size, size], 1);
            let convolve = |batch: usize| {
                let x = random(&[batch, 9, 8, inputs], 2);
                conv2d(&x, &weight, None, options(size, groups), Precision::F32).map(|y| host(&y))
            };
            let batches = [1, 70, 3];
            let expected = batches.map(|batch| convolve(batch).expect("fits"));
            let packed = Arc::new(PackedWeights::new(WeightForm::Alone));
            for _ in 0..2 {
                assert_eq!(
                    packed.reuse(|| batches.map(|batch| convolve(batch).expect("fits"))),
                    expected
                );
            }
            // Elsewhere it has no values, and that is told.
            assert_eq!(convolve(1).is_err(), is_packed, "{inputs} {groups} {size}");
        }
        let (x, weight) = (random(&[3, 20], 1), random(&[40, 20], 2));
        let product = || linear(&x, &weight, None, Precision::F32).map(|y| host(&y));
        let expected = product().expect("fits");
        let packed = Arc::new(PackedWeights::new(WeightForm::Alone));
        for _ in 0..3 {
            assert_eq!(packed.reuse(product).expect("fits"), expected);
        }
        let problem = product().expect_err("no values").to_string();
        assert!(problem.contains("were given up"), "{problem}");
    }

    #[test]
    fn a_part_of_a_tensor_keeps_its_values() {
        let both = random(&[8, 20], 1);
        let part = both.narrow(0, 0, 4).expect("inside");
        let x = random(&[3, 20], 2);
        let product = |weight: &Tensor| host(&linear(&x, weight, None, Precision::F32).expect("fits"));
        let expected = (product(&part), product(&both));
        let packed = Arc::new(PackedWeights::new(WeightForm::Alone));
        for _ in 0..3 {
            assert_eq!(packed.reuse(|| product(&part)), expected.0);
        }
        assert_eq!(product(&both), expected.1);
    }

    #[test]
    fn what_is_packed_is_kept_as_long_as_it_says() {
        let weight = candle_core::Var::from_tensor(&random(&[4, 20], 1)).expect("a variable");
        let (x, bias) = (random(&[3, 20], 2), random(&[4], 3));
        let product = || host(&linear(&x, &weight.detach(), Some(&bias), Precision::F32).expect("fits"));
        let packed = Arc::new(PackedWeights::default());
        let before = packed.reuse(product);
        weight.set(&random(&[4, 20], 4)).expect("the same shape");
        let after = product();
        assert_ne!(before, after);
        assert_eq!(packed.reuse(product), before, "it was not packed again");
        assert_eq!(Arc::new(PackedWeights::default()).reuse(product), after);
    }

    #[test]
    fn parts_of_a_tensor_are_told_apart() {
        let both = random(&[8, 20], 1);
        let (x, bias) = (random(&[3, 20], 2), random(&[4], 3));
        let packed = Arc::new(PackedWeights::default());
        for (start, len) in [(0, 4), (4, 4), (0, 2)] {
            let weight = both.narrow(0, start, len).expect("inside");
            let bias = bias.narrow(0, 0, len).expect("inside");
            let product = || host(&linear(&x, &weight, Some(&bias), Precision::F32).expect("fits"));
            assert_eq!(packed.reuse(product), product());
        }
    }
}
