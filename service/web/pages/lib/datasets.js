// Which data a model learned from: those that come with the code, or a user's own.

export const DATASETS = new URL("../data/datasets.json", import.meta.url).pathname;

/**
 * Whether the model of a card learned from the data set that the files in `data/` are about; they say nothing
 * of other data. `digests` is what DATASETS holds.
 */
export const isEmbedded = ({ name, training }, digests) => name in digests && training.data?.sha256 === digests[name];
