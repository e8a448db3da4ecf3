"""What a lesson asks and checks: predictions, quizzes, exercises."""

from resnet_lib.teaching import checks
from resnet_lib.teaching.environment import environment_report
from resnet_lib.teaching.quiz import Predict, Quiz

__all__ = ["Predict", "Quiz", "checks", "environment_report"]
