// The formulas of the exercise: two inputs, one hidden unit, one output, both sigmoid, no biases.
// A test holds them equal to the project's own code (training/trace.py, training/backprop.py).

export const sigmoid = (z) => 1 / (1 + Math.exp(-z));

/** One step of gradient descent: every number on the way, and the weights after it. */
export function work({ x1, x2, y, w1, w2, v, rate }) {
  const h = w1 * x1 + w2 * x2;
  const a = sigmoid(h);
  const answer = sigmoid(v * a);
  const loss = (y - answer) ** 2 / 2;
  const deltaO = (y - answer) * answer * (1 - answer);
  const deltaH = deltaO * v * a * (1 - a);
  const dv = rate * deltaO * a;
  const dw1 = rate * deltaH * x1;
  const dw2 = rate * deltaH * x2;
  return { h, a, answer, loss, deltaO, deltaH, dv, dw1, dw2, next: { w1: w1 + dw1, w2: w2 + dw2, v: v + dv } };
}

/** Gradients of the loss: the deltas above are what is to be added, so they have the opposite sign. */
export const gradients = ({ deltaO, deltaH, a }, { x1, x2 }) => ({
  v: -deltaO * a,
  w1: -deltaH * x1,
  w2: -deltaH * x2,
});
