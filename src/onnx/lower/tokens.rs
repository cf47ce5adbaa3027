//! Operations on tokens.

use super::*;

impl Lowering<'_> {
    /// A token before those of each image, and positions added to all.
    pub(super) fn embed_tokens(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.given_operand(step, 0)?;
        let (class_token, mut positions) = (self.weight_values(step, 1)?, self.weight_values(step, 2)?);
        let (name, tensor) = self.weight_tensor(step, 2)?;
        // A row of zeros is put before the tokens, and what stands there is added with the positions: no dimension has to
        // be computed.
        positions
            .iter_mut()
            .zip(&class_token)
            .for_each(|(position, value)| *position += value);
        let scope = step.scope.as_str();
        let positions = self.builder.weight(name, tensor.dims(), &positions);
        let pads = self.builder.integers(&[0, 1, 0, 0, 0, 0]);
        let x = self.builder.node(scope, "Pad", &[&x, &pads], &[]);
        Ok(Lowered::given(self.builder.node(
            scope,
            "Add",
            &[&x, &positions],
            &[],
        )))
    }

    pub(super) fn embedding(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let (ids, table) = (self.given_operand(step, 0)?, self.given_operand(step, 1)?);
        let axis = ("axis", AttributeValue::Int(0));
        Ok(Lowered::given(self.builder.node(
            &step.scope,
            "Gather",
            &[&table, &ids],
            &[axis],
        )))
    }

    pub(super) fn add_rows(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let (x, table) = (self.given_operand(step, 0)?, self.given_operand(step, 1)?);
        let scope = step.scope.as_str();
        let rows = match step.integer("row") {
            Some(row) => {
                // The network was recorded with one text a sample, all of whose tokens are of the same type.
                let segments = self.texts.as_ref().and_then(|texts| texts.segments.clone());
                self.uses_segments |= segments.is_some();
                let row = segments.unwrap_or_else(|| self.builder.integer(row as i64));
                self.builder.node(
                    scope,
                    "Gather",
                    &[&table, &row],
                    &[("axis", AttributeValue::Int(0))],
                )
            }
            None => self.first_rows(scope, &table, step.integer("first").unwrap_or(0)),
        };
        Ok(Lowered::given(self.builder.node(scope, "Add", &[&x, &rows], &[])))
    }

    /// A row of `table` for each token of a text, from the row `first` on.
    fn first_rows(&mut self, scope: &str, table: &str, first: usize) -> String {
        let length = self.length();
        let start = self.builder.integers(&[first as i64]);
        let end = match first {
            0 => length,
            _ => self.builder.node(scope, "Add", &[&length, &start], &[]),
        };
        let axes = self.builder.integers(&[0]);
        self.builder
            .node(scope, "Slice", &[table, &start, &end, &axes], &[])
    }

    /// Tokens of the texts, a list of one number.
    fn length(&mut self) -> String {
        let ids = self
            .texts
            .as_ref()
            .map_or_else(String::new, |texts| texts.ids.clone());
        self.shared("length", |this| {
            let shape = this.builder.node("length", "Shape", &[&ids], &[]);
            let (start, end) = (this.builder.integers(&[1]), this.builder.integers(&[2]));
            let axes = this.builder.integers(&[0]);
            this.builder
                .node("length", "Slice", &[&shape, &start, &end, &axes], &[])
        })
    }

    /// The place of each token, from 0 on.
    pub(super) fn positions(&mut self) -> String {
        let length = self.length();
        self.shared("positions", |this| {
            let axes = this.builder.integers(&[0]);
            let end = this.builder.node("positions", "Squeeze", &[&length, &axes], &[]);
            let (start, step) = (this.builder.integer(0), this.builder.integer(1));
            this.builder
                .node("positions", "Range", &[&start, &end, &step], &[])
        })
    }

    pub(super) fn rotary_embedding(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.given_operand(step, 0)?;
        let width = step.integer("rotary_embedding_dim").unwrap_or(2);
        let columns = step.node.shape[step.node.shape.len() - 1];
        let context = self.texts.as_ref().map_or(0, |texts| texts.context);
        let base = step.float("base");
        let half = width / 2;
        let key = format!("rotary table {width} {base}");
        let [cosines, sines] = ["cosines", "sines"].map(|kind| {
            self.shared(&format!("{key} {kind}"), |this| {
                let table = crate::ops::RotaryTable::new(width, base, context);
                let values = if kind == "cosines" {
                    table.cosines()
                } else {
                    table.sines()
                };
                let name = format!("rotary.{kind}");
                let table = this.builder.weight(&name, &[context, 1, half], values);
                this.first_rows("rotary", &table, 0)
            })
        });
        let scope = format!("rotary_embedding_{}", self.results.len());
        let scope = scope.as_str();
        let builder = &mut self.builder;
        let heads = builder.reshape(scope, &x, &[0, 0, (columns / width) as i64, width as i64]);
        let halves = builder.integers(&[half as i64, half as i64]);
        let parts = builder.node_of(
            scope,
            "Split",
            &[&heads, &halves],
            &[("axis", AttributeValue::Int(-1))],
            2,
        );
        let mut product =
            |part: usize, factor: &str| builder.node(scope, "Mul", &[&parts[part], factor], &[]);
        let products = [
            product(0, &cosines),
            product(1, &sines),
            product(1, &cosines),
            product(0, &sines),
        ];
        let first = builder.node(scope, "Sub", &[&products[0], &products[1]], &[]);
        let second = builder.node(scope, "Add", &[&products[2], &products[3]], &[]);
        let turned = builder.node(
            scope,
            "Concat",
            &[&first, &second],
            &[("axis", AttributeValue::Int(-1))],
        );
        Ok(Lowered::given(builder.reshape(
            scope,
            &turned,
            &[0, 0, columns as i64],
        )))
    }

    /// The mean of the tokens, what fills up left out.
    pub(super) fn sequence_mean(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.given_operand(step, 0)?;
        let scope = step.scope.as_str();
        let tokens = self.token_counts();
        let axes = self.builder.integers(&[2]);
        let tokens = self.builder.node(scope, "Unsqueeze", &[&tokens, &axes], &[]);
        let kept = self.builder.node(scope, "Mul", &[&x, &tokens], &[]);
        let builder = &mut self.builder;
        let [sum, count] = [kept, tokens].map(|values| {
            let sum = builder.reduce(scope, "ReduceSum", &values, 1);
            let axes = builder.integers(&[1]);
            builder.node(scope, "Squeeze", &[&sum, &axes], &[])
        });
        Ok(Lowered::given(builder.node(scope, "Div", &[&sum, &count], &[])))
    }

    /// 1 for each token and 0 for what fills up, in the format of the graph's numbers.
    fn token_counts(&mut self) -> String {
        let mask = self.mask();
        self.shared("mask in numbers", |this| {
            this.builder.cast("mask", &mask, this.builder.float)
        })
    }

    /// The mask of texts, which becomes an input.
    pub(super) fn mask(&mut self) -> String {
        self.uses_mask = true;
        let mask = self.texts.as_ref().map(|texts| texts.mask.clone());
        mask.unwrap_or_default()
    }

    /// A place along an axis; the last token of a text is the last one that is none of those that fill up.
    pub(super) fn select(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let x = self.given_operand(step, 0)?;
        let scope = step.scope.as_str();
        let [axis, index] = ["axis", "index"].map(|name| step.integer(name).unwrap_or(0));
        if self.texts.is_some() && axis == 1 && self.is_last(step, index) {
            let mask = self.mask();
            let builder = &mut self.builder;
            let count = builder.reduce(scope, "ReduceSum", &mask, 1);
            let one = builder.integer(1);
            let last = builder.node(scope, "Sub", &[&count, &one], &[]);
            return Ok(Lowered::given(builder.node(
                scope,
                "GatherND",
                &[&x, &last],
                &[("batch_dims", AttributeValue::Int(1))],
            )));
        }
        let index = self.builder.integer(index as i64);
        let axis = ("axis", AttributeValue::Int(axis as i64));
        Ok(Lowered::given(self.builder.node(
            scope,
            "Gather",
            &[&x, &index],
            &[axis],
        )))
    }

    /// Whether `index` stands for the last token of a text. Where a text that was recorded has one token alone, a causal
    /// model means the last by it, and others the first.
    fn is_last(&self, step: &Step, index: usize) -> bool {
        let length = self.operand_dims(step, 0).get(1).copied().unwrap_or(0);
        let is_causal = |node: &OperationNode| {
            node.operation.attributes().get("is_causal") == Some(&Attribute::Flag(true))
        };
        index + 1 == length && (length > 1 || self.graph.nodes.iter().any(is_causal))
    }
}
