//! Attention, composed of products and a softmax.

use super::*;

impl Lowering<'_> {
    pub(super) fn attention(&mut self, step: &Step) -> Result<Lowered, OnnxError> {
        let is_causal = step.flag("is_causal");
        if (is_causal && self.texts.is_none()) || (!is_causal && step.integer("window").is_some()) {
            return Err(OnnxError::Operation {
                operation: "attention with such a mask".to_owned(),
            });
        }
        let scope = format!("attention_{}", self.results.len());
        let scope = scope.as_str();
        let heads = step.integer("num_heads").unwrap_or(1) as i64;
        let shared_heads = step.integer("kv_num_heads").map_or(heads, |heads| heads as i64);
        let columns = step.node.shape[step.node.shape.len() - 1] as i64;
        let width = columns / heads;
        let [queries, keys, values] = self.attention_operands(step, scope, columns, shared_heads * width)?;
        let builder = &mut self.builder;
        let factor = builder.number((1.0 / (width as f64).sqrt()) as f32);
        let queries = builder.node(scope, "Mul", &[&queries, &factor], &[]);
        let (scores, values) = if shared_heads == heads {
            let split = [0, 0, heads, width];
            let [queries, keys, values] = [
                (queries, [0, 2, 1, 3]),
                (keys, [0, 2, 3, 1]),
                (values, [0, 2, 1, 3]),
            ]
            .map(|(operand, order)| {
                let operand = builder.reshape(scope, &operand, &split);
                builder.transpose(scope, &operand, &order)
            });
            (builder.node(scope, "MatMul", &[&queries, &keys], &[]), values)
        } else {
            // Several heads of queries for each of keys and values: `[N, shared, heads of each, T, width]`.
            let each = heads / shared_heads;
            let queries = builder.reshape(scope, &queries, &[0, 0, shared_heads, each, width]);
            let queries = builder.transpose(scope, &queries, &[0, 2, 3, 1, 4]);
            let [keys, values] =
                [(keys, [0, 2, 3, 4, 1]), (values, [0, 2, 3, 1, 4])].map(|(operand, order)| {
                    let operand = builder.reshape(scope, &operand, &[0, 0, shared_heads, 1, width]);
                    builder.transpose(scope, &operand, &order)
                });
            (builder.node(scope, "MatMul", &[&queries, &keys], &[]), values)
        };
        let rank = if shared_heads == heads { 4 } else { 5 };
        let scores = self.masked(step, scope, scores, rank);
        let builder = &mut self.builder;
        let weights = builder.node(scope, "Softmax", &[&scores], &[("axis", AttributeValue::Int(-1))]);
        let y = builder.node(scope, "MatMul", &[&weights, &values], &[]);
        let order: &[i64] = if rank == 4 {
            &[0, 2, 1, 3]
        } else {
            &[0, 3, 1, 2, 4]
        };
        let y = builder.transpose(scope, &y, order);
        Ok(Lowered::given(builder.reshape(scope, &y, &[0, 0, columns])))
    }

    /// Queries, keys and values, `[N, T, columns]` each.
    fn attention_operands(
        &mut self,
        step: &Step,
        scope: &str,
        columns: i64,
        shared_columns: i64,
    ) -> Result<[String; 3], OnnxError> {
        if step.node.operands.len() == 3 {
            return Ok([
                self.given_operand(step, 0)?,
                self.given_operand(step, 1)?,
                self.given_operand(step, 2)?,
            ]);
        }
        let x = self.given_operand(step, 0)?;
        let widths = self.builder.integers(&[columns, shared_columns, shared_columns]);
        let parts = self.builder.node_of(
            scope,
            "Split",
            &[&x, &widths],
            &[("axis", AttributeValue::Int(-1))],
            3,
        );
        let mut parts = parts.into_iter();
        Ok(std::array::from_fn(|_| parts.next().unwrap_or_default()))
    }

    /// Scores, `[N, ..., T, T]` of so many dimensions, as low as can be where a token is not to be seen.
    fn masked(&mut self, step: &Step, scope: &str, scores: String, rank: usize) -> String {
        let Some(visible) = self.visible(step, rank) else {
            return scores;
        };
        let lowest = match self.builder.float {
            ElementFormat::F16 => half::f16::MIN.to_f32(),
            _ => f32::MIN,
        };
        let lowest = self.builder.number(lowest);
        self.builder
            .node(scope, "Where", &[&visible, &scores, &lowest], &[])
    }

    /// Which tokens each token sees, such that it fits scores; nothing where it sees all.
    fn visible(&mut self, step: &Step, rank: usize) -> Option<String> {
        self.texts.as_ref()?;
        // What fills a text up is behind its last token, where no causal model looks.
        if !step.flag("is_causal") {
            let mask = self.mask();
            return Some(self.shared(&format!("mask of {rank} dimensions"), |this| {
                let tokens = this.builder.cast("mask", &mask, ElementFormat::Bool);
                let axes: Vec<i64> = (1..rank as i64 - 1).collect();
                let axes = this.builder.integers(&axes);
                this.builder.node("mask", "Unsqueeze", &[&tokens, &axes], &[])
            }));
        }
        let window = step.integer("window");
        Some(self.shared(&format!("causal mask, window {window:?}"), |this| {
            let positions = this.positions();
            let builder = &mut this.builder;
            let (rows, columns) = (builder.integers(&[1]), builder.integers(&[0]));
            let rows = builder.node("causal_mask", "Unsqueeze", &[&positions, &rows], &[]);
            let columns = builder.node("causal_mask", "Unsqueeze", &[&positions, &columns], &[]);
            let behind = builder.node("causal_mask", "LessOrEqual", &[&columns, &rows], &[]);
            let Some(window) = window else {
                return behind;
            };
            let distance = builder.node("causal_mask", "Sub", &[&rows, &columns], &[]);
            let window = builder.integer(window as i64);
            let near = builder.node("causal_mask", "Less", &[&distance, &window], &[]);
            builder.node("causal_mask", "And", &[&behind, &near], &[])
        }))
    }
}
