"""Fine-tuning: from a pretrained model to one that does what it is asked."""
