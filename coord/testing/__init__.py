"""What tests of coordination need: real servers of your own, time in your hands, faults on demand."""
