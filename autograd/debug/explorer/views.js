// The views, in the order of their tabs: one import and one name for each.

import { cardView } from "./card.js";
import { cellView } from "./cell.js";
import { tensorView } from "./tensor.js";
import { ledgerView } from "./ledger.js";
import { lossView } from "./loss.js";
import { orderView } from "./order.js";
import { predictView } from "./predict.js";
import { optimizerView } from "./optimizer.js";
import { proofView } from "./proof.js";
import { runView } from "./run.js";
import { questionsView } from "./questions.js";
import { lensView } from "./lens.js";
import { mapsView } from "./maps.js";
import { attentionView } from "./attention.js";
import { memoryView } from "./memory.js";
import { zooView } from "./zoo.js";

// Those that show nothing of the chosen tensor: its bar is not there.
export const viewsWithoutTensor = [
  orderView, memoryView, zooView, predictView, optimizerView, runView, questionsView, lensView, mapsView,
];

export const views = [
  cardView,
  tensorView,
  cellView,
  ledgerView,
  orderView,
  attentionView,
  lossView,
  memoryView,
  zooView,
  predictView,
  proofView,
  optimizerView,
  runView,
  questionsView,
  lensView,
  mapsView,
];
