"""How far single images of a patient can be linked: several known images, a closed world, larger galleries."""
