"""The rules of health, one module for each subject. Each yields what it finds wrong."""
