"""Re-identification attackers: training, embedding, scoring. Never told which defense made their images."""
