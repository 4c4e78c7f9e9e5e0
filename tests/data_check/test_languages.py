"""Languages: the large ones told apart, and unknown where the text does not say."""

from __future__ import annotations

import pytest

from everlearn.data_check.languages import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The committee decided to keep the rate where it was.", "en"),
        ("Der Ausschuss hat beschlossen, den Satz nicht zu ändern.", "de"),
        ("Le comité a décidé de ne pas changer le taux pour l'instant.", "fr"),
        ("El comité decidió que la tasa no se cambia por ahora.", "es"),
        ("Il comitato ha deciso che il tasso non si cambia per ora.", "it"),
        ("O comitê decidiu que a taxa não será alterada por enquanto, mas não disse quando.", "pt"),
        ("Het comité heeft besloten dat het tarief niet wordt veranderd.", "nl"),
        ("委员会决定维持利率不变", "zh"),
        ("委員会は金利を据え置くことを決定した", "ja"),
        ("위원회는 금리를 유지하기로 결정했다", "ko"),
        ("Комитет решил сохранить ставку, но условия изменились бы", "ru"),
        ("Комітет вирішив зберегти ставку", "uk"),
        ("Η επιτροπή αποφάσισε", "el"),
        ("الحكومة قررت ذلك", "Arabic script"),
        ("समिति ने निर्णय लिया", "Devanagari script"),
        ("Градови", "Cyrillic script"),
        ("", "unknown"),
        ("3.14 + 7 = ?", "unknown"),
        ("Nairobi", "unknown"),
        ("Valiokunta päätti pitää koron ennallaan", "unknown"),
    ],
)
def test_a_text_is_in_its_language_or_unknown(text: str, language: str) -> None:
    assert language_of(text) == language
